"""This module is `foreshard backtest`: models on trial over telemetry of the past."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from foreshard.cli.argument import guarded

__all__ = ["backtest"]


def backtest(
    spec: Annotated[
        Path, typer.Option(help="What is forecast and how it is judged.", metavar="SPEC.yaml")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Parquet or CSV with a row for each entity and moment.", metavar="FILE"),
    ] = None,
    prometheus: Annotated[
        str, typer.Option(help="Ask such a server instead, by the queries of the spec.")
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="On trial, by name; repeatable. Default: the shipped one."
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Where all figures go.")] = None,
    forecasts: Annotated[
        Path | None, typer.Option(help="Where entity, ts, horizon_s, p go (Parquet).")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Where the page goes.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Say what would have been foreseen, how early and how often wrongly; changes nothing.

    Models are fitted on what was past at each moment, as they would be in production, and stand
    beside chance, headroom and predict-linear. Every scoring is logged beside the spec.
    """
    from foreshard.app import backtesting
    from foreshard.cli import verdict

    order = backtesting.Order(
        spec=spec,
        data=data,
        prometheus=prometheus,
        models=tuple(model or ()),
        json=json,
        forecasts=forecasts,
        html=html,
        command=shlex.join(["foreshard", *sys.argv[1:]]),
    )
    with verdict.progress(is_quiet=quiet) as tell:
        outcome = guarded(lambda: backtesting.run(order, tell=tell))
    verdict.show(outcome)
    for path in (json, forecasts, html):
        if path is not None:
            typer.echo(f"written: {path}")
    typer.echo(f"logged: {backtesting.log_beside(spec)}")
