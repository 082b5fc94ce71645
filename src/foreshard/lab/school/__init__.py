"""This room is the school: days that a fleet lives before its trial, for models to learn from."""
