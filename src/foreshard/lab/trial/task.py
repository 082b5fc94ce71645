"""This module is one field of the matrix: scenario, policy and seed, and where it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foreshard.model.errors import InvalidValueError

__all__ = ["Task", "seeds_of"]

# More of them in one command is a slip of the keyboard.
MOST_SEEDS = 10_000
STRETCH = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run that is wanted.

    Attributes:
        scenario: Its name.
        text: Of its file, as it was read.
        policy: Its name.
        seed: >= 0.
        core: Name of the plant.
        is_calm: Whether it is the twin to which nothing happens.
        path: Where its record goes.
    """

    scenario: str
    text: str
    policy: str
    seed: int
    core: str
    is_calm: bool
    path: Path

    @property
    def label(self) -> str:
        """For people."""
        calm = " (nothing happens)" if self.is_calm else ""
        return f"{self.scenario}{calm}, {self.policy}, seed {self.seed}"


def seeds_of(text: str) -> tuple[int, ...]:
    """Seeds as people write them: `3`, `1-20`, `1,4,7-9`; each once, rising.

    >>> seeds_of("1-3,7")
    (1, 2, 3, 7)

    Raises:
        InvalidValueError: It says no seeds, or too many.
    """
    seeds = sorted(set(_seeds(text)))
    if not 1 <= len(seeds) <= MOST_SEEDS:
        raise InvalidValueError(
            f"seeds are {text!r}, must be 1 to {MOST_SEEDS:,} of them, such as 1-20"
        )
    return tuple(seeds)


def _seeds(text: str) -> Iterable[int]:
    for part in text.split(","):
        found = STRETCH.fullmatch(part.strip())
        if found is None:
            raise InvalidValueError(f"seeds are {text!r}, must be such as 3, 1-20 or 1,4,7-9")
        first = int(found[1])
        last = int(found[2] or first)
        yield from range(first, min(last, first + MOST_SEEDS) + 1)
