"""Scenario files of the lab, parsed and refused once, at the edge."""

from foreshard.config.scenario.reading import (
    load_scenario,
    read_scenario,
    shipped_scenarios,
    text_of_scenario,
)
from foreshard.config.scenario.schema import scenario_schema_text
from foreshard.config.scenario.template import template_of_scenario

__all__ = [
    "load_scenario",
    "read_scenario",
    "scenario_schema_text",
    "shipped_scenarios",
    "template_of_scenario",
    "text_of_scenario",
]
