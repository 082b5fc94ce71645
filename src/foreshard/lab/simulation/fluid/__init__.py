"""This module is the core for thousands of cells: amounts of requests, and queueing theory."""
