"""Work to cost: what a request needs, and what a cell can really serve."""
