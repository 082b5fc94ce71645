"""Signals of what a gauge did, relative to a limit: the same in training and in flight."""
