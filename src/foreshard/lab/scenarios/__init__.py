"""Scenarios that are shipped: one YAML file each, read by `config.scenario`."""
