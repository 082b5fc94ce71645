"""This module is Envoy, steered over its aggregated discovery service."""
