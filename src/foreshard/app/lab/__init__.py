"""This module is the room of the trial put together: policies, cores, stages and tables."""
