"""This module is the room of the live stage: a scenario with real processes and real sockets."""
