"""This module is backtest files: read, checked, and refused with everything that is wrong."""

from __future__ import annotations

from pathlib import Path

from foreshard.config.backtest.consistency import backtest_contradictions
from foreshard.config.backtest.settings import BacktestSettings
from foreshard.config.reading import read_as, read_text

__all__ = ["load_backtest", "read_backtest"]


def load_backtest(path: Path) -> BacktestSettings:
    """What a file tells.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong; all errors are listed.
    """
    return read_backtest(read_text(path), name=str(path))


def read_backtest(text: str, *, name: str = "backtest") -> BacktestSettings:
    """What a YAML text tells.

    Args:
        text: Of the file.
        name: Of the file, for messages.

    Raises:
        ConfigError: Something in it is wrong; all errors are listed, each with its place.
    """
    return read_as(
        text,
        name=name,
        root=BacktestSettings,
        rules=backtest_contradictions,
        hint="one of the project's examples/backtest",
    )
