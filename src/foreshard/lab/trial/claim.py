"""This module is what has to hold of Foreshard, asked of the tables by rule, with what was found.

The numbers are the design's. A claim about nothing (no scenario of that family was played, or too
little could be averted anywhere) is neither kept nor broken, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from foreshard.lab.trial.comparison import FORESHARD

__all__ = ["MOST_DISPLACED", "Claim", "claims_on"]

MEDIAN_BALANCERS, LEAST_BALANCERS = 0.9, 0.6
MEDIAN_UNFORESEEING, LEAST_UNFORESEEING = 0.65, 0.3
MOST_RATIO = 1.05
MOST_DISPLACED = 0.01
MOST_OWN_HARM, MOST_EVACUATIONS = 0.001, 0.1
# Shed that is not needed is none; this is the rounding of a sum.
MOST_SHED = 1e-9

Tables = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that has to hold.

    Attributes:
        family: Of scenarios.
        text: What is claimed.
        value: What was found; None = there was nothing to find.
        limit: What it is held against.
        holds: None = nothing was found.
        where: The scenarios that decide it, or that break it.
    """

    family: str
    text: str
    value: float | None
    limit: float
    holds: bool | None
    where: tuple[str, ...] = ()


def claims_on(tables: Tables) -> tuple[Claim, ...]:
    """Everything that is claimed, and whether it holds.

    Args:
        tables: From `comparison.compared`, one a scenario.
    """
    return (
        *_averted(
            tables,
            "balancers",
            "averted against the best balancer policy",
            (MEDIAN_BALANCERS, LEAST_BALANCERS),
        ),
        *_averted(
            tables,
            "unforeseeing",
            "averted against the best that does not foresee",
            (MEDIAN_UNFORESEEING, LEAST_UNFORESEEING),
        ),
        _most(
            _of(tables, "unpredictable"),
            "unpredictable",
            "harm by that of the best reactive policy, upper end of the interval",
            _upper,
            MOST_RATIO,
        ),
        *_traps(_of(tables, "trap")),
    )


def _averted(
    tables: Tables, against: str, text: str, limits: tuple[float, float]
) -> tuple[Claim, Claim]:
    shares = {
        each["name"]: each["averted"][against]["share"]
        for each in _of(tables, "predictable")
        if each["averted"][against] and each["averted"][against]["share"] is not None
    }
    middle = median(shares.values()) if shares else None
    least = min(shares.values()) if shares else None
    of = f"in {len(shares)} scenarios"
    return (
        Claim(
            family="predictable",
            text=f"{text}, median {of}",
            value=middle,
            limit=limits[0],
            holds=None if middle is None else middle >= limits[0],
            where=tuple(sorted(n for n, share in shares.items() if share < limits[0])),
        ),
        Claim(
            family="predictable",
            text=f"{text}, least {of}",
            value=least,
            limit=limits[1],
            holds=None if least is None else least >= limits[1],
            where=tuple(sorted(n for n, share in shares.items() if share < limits[1])),
        ),
    )


def _traps(tables: Tables) -> tuple[Claim, ...]:
    played = [each for each in tables if FORESHARD in each["policies"]]
    falls = [each["policies"][FORESHARD]["false_evacuations"] for each in played]
    days = sum(each["policies"][FORESHARD]["cell_days"] for each in played)
    known = [fall for fall in falls if fall is not None]
    rate = sum(known) / days if known and days else None
    return (
        _most(
            tables, "trap", "traffic moved needlessly", _figure("displaced_ratio"), MOST_DISPLACED
        ),
        _most(
            tables,
            "trap",
            "weighted demand harmed by our own moves",
            _figure("own_harm_ratio"),
            MOST_OWN_HARM,
        ),
        _most(tables, "trap", "needless shed", _figure("needless_shed_ratio"), MOST_SHED),
        Claim(
            family="trap",
            text="false evacuations per cell-day",
            value=rate,
            limit=MOST_EVACUATIONS,
            holds=None if rate is None else rate <= MOST_EVACUATIONS,
            where=tuple(each["name"] for each, fall in zip(played, falls, strict=True) if fall),
        ),
    )


def _most(
    tables: Tables,
    family: str,
    text: str,
    figure: Callable[[Mapping[str, Any]], float | None],
    limit: float,
) -> Claim:
    found = {each["name"]: value for each in tables if (value := figure(each)) is not None}
    worst = max(found.values(), default=None)
    return Claim(
        family=family,
        text=f"{text}, most in {len(found)} scenarios",
        value=worst,
        limit=limit,
        holds=None if worst is None else worst <= limit,
        where=tuple(sorted(name for name, value in found.items() if value > limit)),
    )


def _upper(table: Mapping[str, Any]) -> float | None:
    """With one seed there is no interval; then the ratio itself has to do."""
    against = table["against_reactive"]
    if against is None:
        return None
    value: float = against["ratio"] if against["high"] is None else against["high"]
    return value


def _figure(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    def read(table: Mapping[str, Any]) -> float | None:
        row = table["policies"].get(FORESHARD)
        value: float | None = row[name] if row else None
        return value

    return read


def _of(tables: Tables, family: str) -> Tables:
    return [each for each in tables if each["family"] == family]
