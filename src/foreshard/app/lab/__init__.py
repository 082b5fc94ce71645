"""This module is the room of the lab's commands, put together with what they try."""
