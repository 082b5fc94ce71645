"""This module is the models that learn from history, by name, as they are installed."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points

from foreshard.forecast.learner import Learner
from foreshard.model.errors import ConfigError

__all__ = ["learner_named", "learner_names"]

GROUP = "foreshard.learners"
# Which extra of the package brings what a model needs beyond the package itself.
EXTRAS = {"lstm": "lstm", "prophet": "prophet"}


def learner_names() -> tuple[str, ...]:
    """Names of all that are registered, sorted."""
    return tuple(sorted(set(entry_points(group=GROUP).names)))


def learner_named(name: str) -> Learner:
    """A learner, by the name under which it is registered.

    Raises:
        ConfigError: There is none of that name, or what it needs is not installed.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        there = learner_names()
        near = get_close_matches(name, there, n=1)
        right = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
        raise ConfigError(f"model {name!r} is not registered; {right}")
    try:
        make: Callable[[], Learner] = next(iter(found)).load()
    except ImportError as error:
        extra = EXTRAS.get(name)
        way = f"pip install 'foreshard[{extra}]'" if extra else "install the package again"
        raise ConfigError(
            f"model {name!r} needs what is not installed ({error}); {way}"
        ) from error
    return make()
