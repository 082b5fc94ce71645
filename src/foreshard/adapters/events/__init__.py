"""Where facts from outside the metrics come from."""
