"""Who can restart a cell."""
