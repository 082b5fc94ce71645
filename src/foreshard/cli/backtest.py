"""This module is `foreshard backtest`: models on trial over telemetry of the past."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from foreshard.cli.argument import guarded

if TYPE_CHECKING:
    from foreshard.lab.backtest.trial import Outcome

__all__ = ["backtest"]

# A table is read whole: a terminal that is narrower folds it, a file does not.
LEAST_WIDTH = 150


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
    with _progress(is_quiet=quiet) as tell:
        outcome = guarded(lambda: backtesting.run(order, tell=tell))
    _show(outcome)
    for path in (json, forecasts, html):
        if path is not None:
            typer.echo(f"written: {path}")
    typer.echo(f"logged: {backtesting.log_beside(spec)}")


def _show(outcome: Outcome) -> None:
    from foreshard.lab.backtest.telling import COLUMNS, duration, figure, rows_of, sentences

    console = Console()
    if console.width < LEAST_WIDTH:
        console = Console(width=LEAST_WIDTH)
    budgets = " / ".join(f"{b:g}" for b in outcome.outline.budgets)
    for h in reversed(range(len(outcome.outline.horizons_s))):
        score = outcome.scores[0][h]
        table = Table(
            title=f"within {duration(score.horizon_s)}, {score.days:.0f} cell-days, "
            f"{outcome.scored_onsets} onsets, prevalence {figure(score.prevalence)}; recall at "
            f"{budgets} false alarms a cell and day, ahead = with thresholds of past days",
            title_justify="left",
        )
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == "model" else "right")
        for number, row in enumerate(rows_of(outcome, h)):
            table.add_row(*row, style="bold" if number == 0 else None)
        console.print(table)
    for sentence in sentences(outcome):
        typer.echo(sentence)


@contextmanager
def _progress(*, is_quiet: bool) -> Iterator[Callable[[str, float], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=is_quiet or not console.is_terminal) as bar:
        lines: dict[str, int] = {}

        def tell(name: str, done: float) -> None:
            if name not in lines:
                lines[name] = bar.add_task(name, total=1.0)
            bar.update(lines[name], completed=done)  # type: ignore[arg-type]

        yield tell
