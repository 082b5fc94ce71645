"""This module is scenario files: those of the package, and anybody's."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from foreshard.config.reading import read_as, read_text
from foreshard.config.scenario.consistency import scenario_contradictions
from foreshard.config.scenario.settings import ScenarioSettings
from foreshard.lab.scenario.scenario import Scenario
from foreshard.model.errors import ConfigError

__all__ = ["load_scenario", "read_scenario", "shipped_scenarios", "text_of_scenario"]

SHELF = "foreshard.lab.scenarios"


def read_scenario(text: str, *, name: str = "scenario") -> Scenario:
    """A scenario from a YAML text.

    Args:
        text: Of the file.
        name: Of the file, for messages.

    Raises:
        ConfigError: Something in it is wrong; all errors are listed, each with its place.
    """
    return read_as(
        text,
        name=name,
        root=ScenarioSettings,
        rules=scenario_contradictions,
        hint="`foreshard lab new`",
    ).noun()


def load_scenario(named: str) -> Scenario:
    """One that is shipped, by name, or one in a file, by path.

    Raises:
        ConfigError: There is no such scenario, or something in it is wrong.
    """
    return read_scenario(text_of_scenario(named), name=named)


def text_of_scenario(named: str) -> str:
    """The text of one that is shipped, by name, or of a file, by path.

    Raises:
        ConfigError: There is no such scenario, or it cannot be read.
    """
    shipped = shipped_scenarios()
    if named in shipped:
        return (files(SHELF) / f"{named}.yaml").read_text(encoding="utf-8")
    path = Path(named)
    if not path.exists():
        raise ConfigError(
            f"scenario {named!r} is neither a file nor shipped; there are {', '.join(shipped)}"
        )
    return read_text(path)


@cache
def shipped_scenarios() -> tuple[str, ...]:
    """Names of the scenarios in the package, sorted."""
    names = (each.name for each in files(SHELF).iterdir())
    return tuple(sorted(n.removesuffix(".yaml") for n in names if n.endswith(".yaml")))
