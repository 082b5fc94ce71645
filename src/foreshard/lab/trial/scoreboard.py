"""This module is the scoreboard as a page in Markdown, from its JSON alone.

What is said in words is said by rule from the figures, shortfalls first: nobody edits the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from foreshard.lab.report.wording import DASH, percent, seconds
from foreshard.lab.trial.claim import MOST_DISPLACED
from foreshard.lab.trial.comparison import FORESHARD, ORACLE
from foreshard.lab.trial.listing import averted_text, claim_row, interval_text, ratio_text
from foreshard.lab.trial.paired import TIE_RATIO

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
        "error. Intervals are 95 %, over seeds, paired. Where Foreshard is worse than the best "
        f"reactive policy by at most {percent(TIE_RATIO)} of the demand (upper end of the "
        "interval), the row says *tie*: a ratio of next to nothing by next to nothing means "
        "little. The claim is judged by the ratio all the same."
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
    """Where Foreshard is worse than it should be: most harm first, then needless acts."""
    harm = sorted(_harmed(board["tables"]), reverse=True)
    found = [*(text for _, text in harm), *_needless(board["tables"])]
    found += [f"Not played: {each['run']}: {each['because']}" for each in board["failed"]]
    yield "## Where it falls short"
    yield ""
    yield from (f"- {text}" for text in found)
    if not found:
        yield "Nowhere, by the rules of this page."
    yield ""


def _harmed(tables: Sequence[Table]) -> Iterator[tuple[float, str]]:
    """Where somebody else, or ourselves without forecasts, did better; by how much."""
    for table in tables:
        bad = {name: row["bad_ratio"] for name, row in table["policies"].items()}
        others = {n: v for n, v in bad.items() if n not in (FORESHARD, ORACLE)}
        if FORESHARD not in bad or not others:
            continue
        own, name = bad[FORESHARD], f"`{table['name']}`"
        best = min(others, key=lambda each: (others[each], each))
        regret = own - bad[ORACLE] if ORACLE in bad else 0.0
        if own > others[best] + NO_REGRET:
            text = f"{name}: {percent(own)} bad, where `{best}` has {percent(others[best])}."
            yield own - others[best], text
        elif regret > NO_REGRET:
            yield regret, f"{name}: {percent(regret)} is bad beyond the oracle's."
        if bad.get(ORACLE, 0.0) > others[best] + NO_REGRET:
            text = f"{name}: `{best}` beats the oracle, so that averted shares flatter."
            yield bad[ORACLE] - others[best], text


def _needless(tables: Sequence[Table]) -> Iterator[str]:
    """What was done in traps."""
    for table in tables:
        row = table["policies"].get(FORESHARD)
        if row is None or table["family"] != "trap":
            continue
        falls, moved = row["false_evacuations"] or 0, row["displaced_ratio"] or 0.0
        if falls or moved > MOST_DISPLACED:
            yield (
                f"`{table['name']}`: {falls} false evacuation{'s' if falls != 1 else ''}, "
                f"{percent(moved)} of the traffic moved needlessly."
            )


def _family(board: Board, family: str) -> Iterator[str]:
    tables = [table for table in board["tables"] if table["family"] == family]
    if not tables:
        return
    yield f"## {FAMILIES[family]}"
    yield ""
    names = board["policies"]
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
        ("harm by that of the best reactive", "which", "ratio", "95 %", "more by at most", "tie"),
        (
            (
                f"`{table['name']}`",
                against["against"],
                f"{against['ratio']:.2f}",
                _within(against),
                percent(against["excess"]),
                "yes" if against["is_tie"] else "no",
            )
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
    yield from _table(columns, (_summed(board["tables"], n) for n in board["policies"]))


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
    ablations = board["ablations"]
    if ablations is None:
        return
    seeds = len(ablations["seeds"])
    yield "## What each strength is worth"
    yield ""
    yield (
        f"Foreshard without one of them, over {seeds} seed{'s' if seeds != 1 else ''}: mean harm "
        "over the scenarios of each family, and where it was most beyond that of the whole."
    )
    yield ""
    yield from _table(
        (
            "lacks",
            *(f"bad, {family}" for family in FAMILIES),
            "moved needlessly in traps",
            "false evacuations",
            "missed most in",
        ),
        (
            (lacks, *_summed(ablations["tables"], name)[1:6], _missed(ablations["tables"], name))
            for name, lacks in ablations["lacks"].items()
        ),
    )


def _missed(tables: Sequence[Table], name: str) -> str:
    """The scenario in which most harm came from what is missing; "" = none did."""
    more = {
        table["name"]: table["policies"][name]["bad_ratio"]
        - table["policies"][FORESHARD]["bad_ratio"]
        for table in tables
    }
    worst = max(more, key=lambda each: (more[each], each), default="")
    if not worst or more[worst] <= NO_REGRET:
        return ""
    return f"`{worst}`, {percent(more[worst])} more"


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
