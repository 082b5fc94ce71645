"""This module is `foreshard bench`: does it run at my size, on my machine?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from foreshard.cli.argument import fail, guarded
from foreshard.model.errors import LabError

__all__ = ["bench"]

Cells = Annotated[int, typer.Option(help="Size of the fleet.", min=1)]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Json = Annotated[Path | None, typer.Option("--json", help="Where the figures go.")]
# A table is read whole: a terminal that is narrower folds it, a file does not.
LEAST_WIDTH = 120

bench = typer.Typer(help="Measure on this machine.", no_args_is_help=True)


@bench.callback()
def choose() -> None:
    """Measure on this machine: does it run at my size?"""


@bench.command()
def plan(
    cells: Cells = 100,
    event: Annotated[
        list[str] | None,
        typer.Option(help="normal, dead, weak, surge, overload or all; repeatable."),
    ] = None,
    seed: Seed = 1,
    ticks: Annotated[int, typer.Option(help="How often each is planned.", min=1)] = 5,
    lasting: Annotated[
        bool, typer.Option("--lasting", help="Each tick follows on the one before.")
    ] = False,
    classes: Annotated[int | None, typer.Option(help="Request classes.", min=1)] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Cells that a flow may use at least.", min=1)
    ] = None,
    peers: Annotated[
        str, typer.Option(help="Who stands beside descent: warm, cold, both or none.")
    ] = "both",
    limit_s: Annotated[
        float, typer.Option(help="For one solve of HiGHS; then it is out of time.", min=0.1)
    ] = 60.0,
    to: Json = None,
) -> None:
    """What one plan costs, beside HiGHS on the same problem, warm and cold."""
    from foreshard.lab.planning_bench import contest
    from foreshard.planning.instance import EVENTS

    chosen: Mapping[str, tuple[int, ...]] = {
        "both": (1, 2),
        "warm": (1,),
        "cold": (2,),
        "none": (),
    }
    if peers not in chosen:
        fail(LabError(f"--peers is {peers!r}, must be one of {', '.join(chosen)}"))
    size = guarded(lambda: contest.size_of(cells, classes=classes, candidates=candidates))
    names = (contest.PLANNERS[0], *(contest.PLANNERS[n] for n in chosen[peers]))
    named = event or ["normal"]
    asked = [
        contest.Asked(
            size=size,
            event=each,
            seed=seed,
            ticks=ticks,
            lasting=lasting,
            planners=names,
            limit_s=limit_s,
        )
        for each in (EVENTS if "all" in named else named)
    ]
    found = guarded(lambda: [contest.compete(one, tell=_tell) for one in asked])
    table = Table(title=f"{cells:,} cells, {found[0]['edges']:,} edges, seed {seed}")
    for column in (*("event", "planner", "ms p50", "ms p99", "gap", "fullest"),):
        table.add_column(column)
    for column in ("moved", "shed c/n/s", "peak MB", "of descent"):
        table.add_column(column)
    for one in found:
        for name, figures in one["planners"].items():
            ratio = figures["ms_p50"] / one["planners"]["descent"]["ms_p50"]
            table.add_row(one["event"], name, *_cells_of(figures), f"{ratio:.1f} x")
    console = Console()
    (console if console.width >= LEAST_WIDTH else Console(width=LEAST_WIDTH)).print(table)
    _write(found[0] if len(found) == 1 else found, to)


@bench.command()
def route(cells: Cells = 100, seed: Seed = 1, to: Json = None) -> None:
    """What one decision of the router costs, beside rendezvous hashing and a ring."""
    from foreshard.lab.routing_bench.contest import compete

    figures = guarded(lambda: compete(cells=cells, seed=seed))
    table = Table("one decision", "ns", "of route", title=f"{cells:,} cells, seed {seed}")
    for name, what in (
        ("route_ns", "Router.route, one key"),
        ("batch_ns", "Router.route_many, a key of many"),
        ("rendezvous_ns", "weighted rendezvous hashing"),
        ("bisect_ns", "bisection of a ring, 128 points a cell"),
    ):
        ns: float = getattr(figures, name)
        table.add_row(what, f"{ns:,.1f}", f"{ns / figures.route_ns:.2f} x")
    Console().print(table)
    _write(asdict(figures), to)


@bench.command()
def loop(
    cells: Cells = 1_000,
    classes: Annotated[int, typer.Option(help="Request classes.", min=1)] = 50,
    proxies: Annotated[int, typer.Option(help="Subscribed balancers.", min=1)] = 200,
    turns: Annotated[int, typer.Option(help="That are measured.", min=1)] = 100,
    seed: Seed = 1,
    to: Json = None,
) -> None:
    """What a whole turn costs, from raw telemetry to routes encoded for every proxy."""
    from foreshard.cli.loop_bench import show_loop

    show_loop(cells=cells, classes=classes, proxies=proxies, turns=turns, seed=seed, to=to)


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _cells_of(figures: Mapping[str, Any]) -> tuple[str, ...]:
    times = (f"{figures['ms_p50']:,.1f}", f"{figures['ms_p99']:,.1f}")
    if figures["objective"] is None:
        return (*times, "out of time", "", "", "", "")
    shed = "/".join(f"{100 * part:.1f}" for part in figures["shed_by_priority"].values())
    return (
        *times,
        f"{100 * figures['gap_ratio']:.2f} %",
        f"{figures['max_utilisation']:.4f}",
        f"{100 * figures['moved_ratio']:.2f} %",
        f"{shed} %",
        f"{figures['peak_mb']:,.0f}",
    )


def _write(figures: Any, to: Path | None) -> None:  # noqa: ANN401 - JSON values
    if to is None:
        return
    try:
        to.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        fail(LabError(f"--json {to}: cannot be written ({error.strerror})"))
