"""Foreshard: a predictive sharding engine for cell-based services."""

__version__ = "0.1.0"
