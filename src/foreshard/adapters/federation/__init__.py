"""This package is the other regions of a federation, over HTTP."""
