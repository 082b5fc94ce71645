"""This module is the room of the core that follows every single request."""
