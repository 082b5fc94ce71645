"""Fleets that fail slowly: synthetic telemetry with the truth, and what alarms are worth."""
