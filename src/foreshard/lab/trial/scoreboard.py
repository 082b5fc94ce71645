"""This module is the scoreboard as a page in Markdown, from its JSON alone.

What is said in words is said by rule from the figures, shortfalls first: nobody edits the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from foreshard.lab.report.wording import DASH, percent, seconds
from foreshard.lab.trial.comparison import FORESHARD, ORACLE
from foreshard.lab.trial.listing import averted_text, claim_row, interval_text, ratio_text

__all__ = ["page_of_board"]

Board = Mapping[str, Any]
Table = Mapping[str, Any]
FAMILIES = {
    "predictable": "There is something to see before it hurts",
    "unpredictable": "There is nothing to see before it hurts",
    "trap": "Nothing needs to be done",
}
# Harm beyond the oracle's of which a table has nothing to say.
NO_REGRET = 1e-4


def page_of_board(board: Board) -> str:
    """The page.

    Args:
        board: From `app.lab.board.board_of`.
    """
    parts = (
        _head(board),
        _claims(board),
        _shortfalls(board),
        *(_family(board, family) for family in FAMILIES),
        _summary(board),
        _ablations(board),
        _scenarios(board),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(board: Board) -> Iterator[str]:
    seeds = board["seeds"]
    yield "# Scoreboard"
    yield ""
    yield (
        f"Made {board['made_at']} by Foreshard {board['edition']}, {len(seeds)} "
        f"seed{'s' if len(seeds) != 1 else ''}, in the simulation, with one configuration for all "
        "scenarios: the shipped default. Nobody writes this page; this does:"
    )
    yield ""
    yield "```text"
    yield board["command"]
    yield "```"
    yield ""
    yield (
        "*Bad* is the share of the demand, weighted by class, that failed after all retries, was "
        "slower than its objective, or was shed. The best of a row that is no oracle is **bold**. "
        "*Averted* is 0 for the policy named and 1 for the oracle, which is told the faults in "
        "advance; it is given where what could be averted is at least 20 times its standard "
        "error. Intervals are 95 %, over seeds, paired."
    )
    yield ""


def _claims(board: Board) -> Iterator[str]:
    yield "## What has to hold"
    yield ""
    yield from _table(
        ("family", "claim", "found", "limit", "verdict", "missed in"),
        (claim_row(claim) for claim in board["claims"]),
    )


def _shortfalls(board: Board) -> Iterator[str]:
    """Where Foreshard is worse than it should be, worst first."""
    found = sorted(_short(board["tables"]), reverse=True)
    yield "## Where it falls short"
    yield ""
    for _, text in found:
        yield f"- {text}"
    if not found:
        yield "Nowhere by the rules of this page."
    for each in board["failed"]:
        yield f"- Not played: {each['run']}: {each['because']}"
    yield ""


def _short(tables: Sequence[Table]) -> Iterator[tuple[float, str]]:
    for table in tables:
        own = table["policies"].get(FORESHARD)
        others = {
            name: row["bad_ratio"]
            for name, row in table["policies"].items()
            if name != ORACLE and not name.startswith(FORESHARD)
        }
        if own is None or not others:
            continue
        best = min(others, key=lambda name: (others[name], name))
        behind, regret = own["bad_ratio"] - others[best], own["regret_oracle"] or 0.0
        bad, least = percent(own["bad_ratio"]), percent(others[best])
        if behind > NO_REGRET:
            yield behind, f"`{table['name']}`: {bad} bad, where `{best}` has {least}."
        elif regret > NO_REGRET:
            yield regret, f"`{table['name']}`: {percent(regret)} is bad beyond the oracle's."
        oracle = table["policies"].get(ORACLE)
        if oracle and oracle["bad_ratio"] > others[best] + NO_REGRET:
            text = f"`{best}` beats the oracle, so that averted shares flatter."
            yield oracle["bad_ratio"] - others[best], f"`{table['name']}`: {text}"


def _family(board: Board, family: str) -> Iterator[str]:
    tables = [table for table in board["tables"] if table["family"] == family]
    if not tables:
        return
    yield f"## {FAMILIES[family]}"
    yield ""
    names = [name for name in board["policies"] if name not in board["lacks"]]
    yield from _table(
        ("bad", *(f"`{name}`" for name in names)),
        ((f"`{table['name']}`", *_row(table, names)) for table in tables),
    )
    if family == "predictable":
        yield from _averted(tables)
    elif family == "unpredictable":
        yield from _against(tables)
    else:
        yield from _traps(tables)


def _row(table: Table, names: Sequence[str]) -> Iterator[str]:
    rows = table["policies"]
    best = min((rows[n]["bad_ratio"] for n in names if n in rows and n != ORACLE), default=0.0)
    for name in names:
        if name not in rows:
            yield DASH
            continue
        value = rows[name]["bad_ratio"]
        text = percent(value)
        yield f"**{text}**" if name != ORACLE and value <= best else text


def _averted(tables: Sequence[Table]) -> Iterator[str]:
    yield from _table(
        (
            "averted",
            "against the best balancer",
            "against the best that does not foresee",
            "regret to the oracle",
            "to the fluid bound",
            "lead",
            "won, tied, lost",
        ),
        (
            (
                f"`{table['name']}`",
                averted_text(table["averted"]["balancers"]),
                averted_text(table["averted"]["unforeseeing"]),
                _own(table, "regret_oracle"),
                _own(table, "regret_bound"),
                seconds(_value(table, "lead_s")),
                _duels(table),
            )
            for table in tables
        ),
    )


def _against(tables: Sequence[Table]) -> Iterator[str]:
    yield from _table(
        ("harm by that of the best reactive", "which", "ratio", "95 %"),
        (
            (f"`{table['name']}`", against["against"], f"{against['ratio']:.2f}", _within(against))
            for table in tables
            if (against := table["against_reactive"]) is not None
        ),
    )


def _traps(tables: Sequence[Table]) -> Iterator[str]:
    yield from _table(
        ("trap", "load", "moved needlessly", "our own harm", "needless shed", "false evacuations"),
        (
            (
                f"`{table['name']}`",
                percent(table["utilisation"]),
                _own(table, "displaced_ratio"),
                _own(table, "own_harm_ratio"),
                _own(table, "needless_shed_ratio"),
                _evacuations(table),
            )
            for table in tables
        ),
    )


def _summary(board: Board) -> Iterator[str]:
    yield "## Every policy over all scenarios"
    yield ""
    columns = (
        "policy",
        *(f"bad, {family}" for family in FAMILIES),
        "moved needlessly in traps",
        "false evacuations",
        "other region",
        "busiest cell",
    )
    names = [name for name in board["policies"] if name not in board["lacks"]]
    yield from _table(columns, (_summed(board["tables"], name) for name in names))


def _summed(tables: Sequence[Table], name: str) -> tuple[str, ...]:
    def rows(family: str = "") -> list[Mapping[str, Any]]:
        return [
            table["policies"][name]
            for table in tables
            if name in table["policies"] and family in ("", table["family"])
        ]

    falls = [r["false_evacuations"] for r in rows() if r["false_evacuations"] is not None]
    return (
        f"`{name}`",
        *(_mean([row["bad_ratio"] for row in rows(family)]) for family in FAMILIES),
        _mean([row["displaced_ratio"] for row in rows("trap")]),
        str(sum(falls)) if falls else DASH,
        _mean([row["crossed_ratio"] for row in rows()]),
        _mean([row["busiest_ratio"] for row in rows()]),
    )


def _ablations(board: Board) -> Iterator[str]:
    if not board["lacks"]:
        return
    yield "## What each strength is worth"
    yield ""
    yield "Foreshard without one of them, mean harm over the scenarios of each family."
    yield ""
    whole = [(FORESHARD, "nothing"), ("foreshard-none", "forecasts"), *board["lacks"].items()]
    there = [(name, lacks) for name, lacks in whole if name in board["policies"]]
    rows = ((lacks, *_summed(board["tables"], name)[1:6]) for name, lacks in there)
    yield from _table(
        (
            "lacks",
            *(f"bad, {family}" for family in FAMILIES),
            "moved needlessly in traps",
            "false evacuations",
        ),
        rows,
    )


def _scenarios(board: Board) -> Iterator[str]:
    yield "## The scenarios"
    yield ""
    for table in board["tables"]:
        yield f"- `{table['name']}` ({table['family']}): {' '.join(table['about'].split())}"
    yield ""


def _value(table: Table, name: str) -> Any:  # noqa: ANN401 - a JSON value
    row = table["policies"].get(FORESHARD)
    return row[name] if row else None


def _own(table: Table, name: str) -> str:
    return ratio_text(_value(table, name))


def _evacuations(table: Table) -> str:
    falls, days = _value(table, "false_evacuations"), _value(table, "cell_days")
    return DASH if falls is None else f"{falls} in {days:.2g} cell-days"


def _duels(table: Table) -> str:
    best = table["averted"]["balancers"]
    if best is None or best["against"] not in table["duels"]:
        return DASH
    duel = table["duels"][best["against"]]
    return f"{duel['wins']}, {duel['ties']}, {duel['losses']}"


def _within(against: Mapping[str, Any]) -> str:
    if against["low"] is None:
        return interval_text(None, None)
    return f"{against['low']:.2f} to {against['high']:.2f}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return percent(fmean(known)) if known else DASH


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""
