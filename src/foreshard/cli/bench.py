"""This module is `foreshard bench`: does it run at my size, on my machine?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from foreshard.cli.argument import fail, guarded
from foreshard.model.errors import LabError

__all__ = ["bench"]

Cells = Annotated[int, typer.Option(help="Size of the fleet.", min=1)]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Json = Annotated[Path | None, typer.Option("--json", help="Where the figures go.")]

bench = typer.Typer(help="Measure on this machine.", no_args_is_help=True)


@bench.callback()
def choose() -> None:
    """Measure on this machine: does it run at my size?"""


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
    if to is not None:
        try:
            to.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            fail(LabError(f"--json {to}: cannot be written ({error.strerror})"))


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
