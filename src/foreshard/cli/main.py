"""This module is `foreshard`: its commands, in the order in which they are needed."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from foreshard import __version__
from foreshard.cli.ask import bundle, freeze, health, profile, replay, status, thaw, why
from foreshard.cli.averted import averted
from foreshard.cli.backtest import backtest
from foreshard.cli.begin import check, init, schema
from foreshard.cli.bench import bench
from foreshard.cli.lab import lab
from foreshard.cli.models import models
from foreshard.cli.steer import bootstrap, eject, engine, foresee, relay, run, serve, web
from foreshard.cli.stream import complete_streams
from foreshard.cli.token import token
from foreshard.cli.train import train
from foreshard.cli.trial import demo, fault, report

__all__ = ["app"]

COMMANDS = (
    *(init, check, schema, run, serve, relay, engine, web, foresee, bootstrap, eject),
    *(status, why, profile, averted, freeze, thaw, health, bundle, replay),
    *(backtest, train),
    *(fault, demo, report),
)

app = typer.Typer(
    help="Move work off a cell before the cell fails.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(bench, name="bench")
app.add_typer(lab, name="lab")
app.add_typer(models, name="models")
app.add_typer(token, name="token")


# Read when NumPy is loaded, which no command has done yet; processes that are started inherit it.
BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"foreshard {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: ARG001 - its callback does all
        bool,
        typer.Option("--version", callback=lambda wanted: _version(wanted=wanted), is_eager=True),
    ] = False,
) -> None:
    """Move work off a cell before the cell fails."""
    complete_streams()
    # A fleet's matrices are too small for threads: they spin for work that is done by then, on
    # cores that proxies and cells could use (decision 0033). Who sets another number gets it.
    os.environ.setdefault(BLAS_THREADS, "1")
