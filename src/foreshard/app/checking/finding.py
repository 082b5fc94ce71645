"""This module is one line of a checkup, and the checkup as a whole.

Green: as it should be. Amber: Foreshard runs, and does less than it could. Red: it cannot run, or
would be led astray. Whatever is not green says what it means and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from foreshard.model.errors import InvalidValueError

__all__ = ["Checkup", "Finding", "Mark", "Section", "green", "told"]

# So many of one kind are listed; the rest is counted.
MOST_LISTED = 6


class Mark(StrEnum):
    """How it stands."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


class Section(StrEnum):
    """What a finding is about, in the order in which they are told."""

    CONFIGURATION = "configuration"
    CELLS = "cells"
    GAUGES = "gauges"
    BALANCERS = "balancers"
    CAPACITY = "capacity"
    SURROUNDINGS = "surroundings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line.

    Attributes:
        section: What it is about.
        mark: How it stands.
        says: What was found.
        means: What is lost by it; "" when it is green.
        todo: What to do; "" when it is green.
        weight: How much is lost, among those of one mark; more is worse.
    """

    section: Section
    mark: Mark
    says: str
    means: str = ""
    todo: str = ""
    weight: int = 0

    def __post_init__(self) -> None:
        if self.mark is not Mark.GREEN and not (self.means and self.todo):
            raise InvalidValueError(f"finding {self.says!r}: say what it means and what to do")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All lines, in the order of sections."""

    findings: tuple[Finding, ...]

    def count(self, mark: Mark) -> int:
        """How many have a mark."""
        return sum(one.mark is mark for one in self.findings)

    def of(self, section: Section) -> tuple[Finding, ...]:
        """The lines of a section."""
        return tuple(one for one in self.findings if one.section is section)

    def losses(self) -> tuple[Finding, ...]:
        """What is not green, what costs most first."""
        worst = [one for one in self.findings if one.mark is not Mark.GREEN]
        return tuple(sorted(worst, key=lambda one: (one.mark is not Mark.RED, -one.weight)))

    def exit_status(self, *, is_strict: bool) -> int:
        """1 when something is red; when strict, also when something is amber."""
        bad = self.count(Mark.RED) + (self.count(Mark.AMBER) if is_strict else 0)
        return 1 if bad else 0

    def to_json(self) -> dict[str, object]:
        """JSON values."""
        return {
            "green": self.count(Mark.GREEN),
            "amber": self.count(Mark.AMBER),
            "red": self.count(Mark.RED),
            "findings": [
                {
                    "section": one.section.value,
                    "mark": one.mark.value,
                    "says": one.says,
                    "means": one.means,
                    "todo": one.todo,
                }
                for one in self.findings
            ],
        }


def green(section: Section, says: str) -> Finding:
    """A line that is as it should be."""
    return Finding(section=section, mark=Mark.GREEN, says=says)


def told(names: Iterable[str], *, of: Sequence[object] = ()) -> str:
    """`eu-1, eu-2 and 3 more`; `all 5` where nothing is left out."""
    listed = list(dict.fromkeys(names))
    if of and len(listed) == len(of) > 1:
        return f"all {len(of)}"
    more = len(listed) - MOST_LISTED
    shown = ", ".join(listed[:MOST_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
