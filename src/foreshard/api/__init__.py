"""The HTTP API of request classes: it translates, and decides nothing."""
