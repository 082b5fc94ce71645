"""This module is tables of figures as rows of words, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foreshard.lab.report.wording import DASH, milliseconds, percent, seconds

__all__ = ["COLUMNS", "averted_text", "claim_row", "interval_text", "policy_rows", "ratio_text"]

Table = Mapping[str, Any]
COLUMNS = (
    "policy",
    "bad",
    "95 %",
    "failed",
    "slow",
    "shed",
    "over oracle",
    "p99",
    "lead",
    "moved needlessly",
    "false evac.",
)


def policy_rows(table: Table) -> list[tuple[str, ...]]:
    """One row a policy, in the order of `COLUMNS`."""
    return [_row(name, row) for name, row in table["policies"].items()]


def interval_text(low: float | None, high: float | None) -> str:
    """A 95 % interval of a ratio."""
    return DASH if low is None or high is None else f"{percent(low, 2)} to {percent(high, 2)}"


def ratio_text(value: float | None) -> str:
    """A ratio that may be unknown, in percent."""
    return DASH if value is None else percent(value)


def averted_text(averted: Mapping[str, Any] | None) -> str:
    """An averted share with its interval and whom it is measured against.

    >>> averted_text(None)
    '-'
    """
    if averted is None:
        return DASH
    if averted["share"] is None:
        return f"too little to avert ({averted['against']})"
    within = ""
    if averted["low"] is not None:
        within = f" [{averted['low']:.2f}, {averted['high']:.2f}]"
    return f"{averted['share']:.2f}{within} ({averted['against']})"


def claim_row(claim: Mapping[str, Any]) -> tuple[str, ...]:
    """A claim: family, text, what was found, what it is held against, verdict, where."""
    found = claim["value"]
    verdict = {True: "holds", False: "DOES NOT HOLD", None: "nothing to judge"}[claim["holds"]]
    return (
        claim["family"],
        claim["text"],
        DASH if found is None else f"{found:.3g}",
        f"{claim['limit']:.3g}",
        verdict,
        _names(claim["where"]),
    )


def _row(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    falls = row["false_evacuations"]
    return (
        name,
        percent(row["bad_ratio"]),
        interval_text(row["bad_low"], row["bad_high"]),
        percent(row["failed_ratio"]),
        percent(row["slow_ratio"]),
        percent(row["shed_ratio"]),
        ratio_text(row["regret_oracle"]),
        milliseconds(row["p99_ms"]),
        seconds(row["lead_s"]),
        ratio_text(row["displaced_ratio"]),
        DASH if falls is None else str(falls),
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
