"""This module is the JSON Schema of scenario files, for editors and for whoever writes many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from foreshard.config.scenario.settings import ScenarioSettings
from foreshard.config.schema import schema_of

__all__ = ["SCENARIO_MODELINE", "SCENARIO_SCHEMA_FILE", "scenario_schema", "scenario_schema_text"]

SCENARIO_SCHEMA_FILE = "scenario.schema.json"
"""Its name where it is written beside a scenario."""
SCENARIO_MODELINE = f"# yaml-language-server: $schema=./{SCENARIO_SCHEMA_FILE}"


def scenario_schema() -> Mapping[str, Any]:
    """The schema, as plain values."""
    return schema_of(ScenarioSettings, title="Foreshard scenario")


def scenario_schema_text() -> str:
    """The same as JSON, stable from run to run."""
    return json.dumps(scenario_schema(), indent=2) + "\n"
