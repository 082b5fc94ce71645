"""Telemetry of the past: tables in files, and Prometheus."""
