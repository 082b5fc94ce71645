"""The shell around the engine: it reads, waits, applies, verifies and keeps the record."""
