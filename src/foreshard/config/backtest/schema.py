"""This module is the JSON Schema of backtest files, for editors and for whoever writes many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from foreshard.config.backtest.settings import BacktestSettings
from foreshard.config.schema import schema_of

__all__ = ["backtest_schema", "backtest_schema_text"]


def backtest_schema() -> Mapping[str, Any]:
    """The schema, as plain values."""
    return schema_of(BacktestSettings, title="Foreshard backtest")


def backtest_schema_text() -> str:
    """The same as JSON, stable from run to run."""
    return json.dumps(backtest_schema(), indent=2) + "\n"
