"""Telemetry to risk: pure models that turn a window of readings into probabilities of failure."""
