"""Sinks that bring routing tables to balancers."""
