"""Models of failure put on trial over a history that is already over."""
