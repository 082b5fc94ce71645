"""What one decision of the router costs, beside the usual ways to bind a key to a cell."""
