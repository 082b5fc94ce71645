"""This module is the JSON Schema of the configuration: for editors, and for whoever generates one.

It is made from the settings themselves, so it says what Foreshard accepts, with unit, default
and reason of every key. What two keys must agree on no schema can say; `foreshard check` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from foreshard.config.settings import Settings

__all__ = ["MODELINE", "SCHEMA_FILE", "schema", "schema_of", "schema_text"]

SCHEMA_FILE = "foreshard.schema.json"
"""Its name where it is written beside a configuration."""
# Language servers resolve a relative path against the folder of the YAML file. A copy beside it
# needs no network and belongs to the version that wrote it.
MODELINE = f"# yaml-language-server: $schema=./{SCHEMA_FILE}"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> Mapping[str, Any]:
    """The schema, as plain values."""
    return schema_of(Settings, title="Foreshard configuration")


def schema_of(root: type[BaseModel], *, title: str) -> Mapping[str, Any]:
    """The schema of any settings, as plain values."""
    made = root.model_json_schema(mode="validation")
    return {"$schema": DRAFT, "title": title} | {
        key: _lean(value) for key, value in made.items() if key != "title"
    }


def schema_text() -> str:
    """The same as JSON, stable from run to run."""
    return json.dumps(schema(), indent=2) + "\n"


def _lean(part: object, *, is_names: bool = False) -> object:
    """Without the titles that pydantic makes of the keys: they would shout in an editor."""
    if isinstance(part, list):
        return [_lean(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _lean(value, is_names=key in {"properties", "$defs"} and not is_names)
        for key, value in part.items()
        if is_names or key != "title"
    }
