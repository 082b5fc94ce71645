"""This module is the commands of the demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from foreshard.cli.argument import Cell, guarded

__all__ = ["demo", "fault", "report"]


def fault(
    cell: Cell,
    kind: Annotated[
        str,
        typer.Argument(
            help="leak, slow_dependency, creep, throttle, disk_fill, pool, mute, latency, errors, "
            "crash"
        ),
    ],
    duration_s: Annotated[float, typer.Option(help="How long the fault grows.")] = 30.0,
    magnitude: Annotated[
        float | None, typer.Option(help="How strong; default: the kind's.")
    ] = None,
) -> None:
    """Break a cell of the running demo, on both fleets at once (demo only)."""
    from foreshard.app import showing

    guarded(lambda: showing.break_cell(cell, kind, duration_s=duration_s, magnitude=magnitude))
    typer.echo(f"{kind} has begun on {cell}, on both fleets")


def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No live view.")] = False,
    seed: Annotated[int, typer.Option(help="Of arrivals, keys and request costs.", min=0)] = 1,
    duration_s: Annotated[
        float | None, typer.Option(help="Length of the story; default: its own.", min=30.0)
    ] = None,
    story: Annotated[str, typer.Option(help="default, quiet, zone, surge or tight.")] = "default",
    load_ratio: Annotated[
        float | None,
        typer.Option("--load", help="Mean utilisation; default: the story's.", min=0.1, max=0.95),
    ] = None,
    forecast: Annotated[str, typer.Option(help="A forecaster by name, or none.")] = "trend",
    json: Annotated[Path | None, typer.Option(help="Where the report's figures go.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the report's page goes.")] = None,
) -> None:
    """Two equal fleets of real cells, the same traffic and faults; one steered by Foreshard."""
    from foreshard.app import showing
    from foreshard.lab.demo import DemoOptions

    options = DemoOptions(
        seed=seed,
        duration_s=duration_s,
        story=story,
        load=load_ratio,
        forecast=forecast,
        headless=headless or not sys.stdout.isatty(),
        json=json,
        html=html,
    )
    guarded(lambda: showing.run_demo(options))


def report(
    figures: Annotated[
        Path, typer.Argument(help="What `foreshard demo --json` wrote.", metavar="REPORT.json")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the page goes.")] = Path(
        "report.html"
    ),
) -> None:
    """Draw the page of a run that is over from its figures alone."""
    from foreshard.app import reporting

    guarded(lambda: reporting.draw(figures, output))
    typer.echo(f"report: {output}")
