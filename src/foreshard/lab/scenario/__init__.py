"""This module is the room of scenarios: what is put on trial, as values."""
