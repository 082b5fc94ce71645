"""This module is how a backtest shows itself on a terminal: bars, tables, sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from foreshard.lab.backtest.telling import COLUMNS, duration, figure, rows_of, sentences
from foreshard.lab.backtest.trial import Outcome, Tell

__all__ = ["progress", "show"]

# A table is read whole: a terminal that is narrower folds it, a file does not.
LEAST_WIDTH = 150


def show(outcome: Outcome) -> None:
    """One table a horizon, then the sentences."""
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
def progress(*, is_quiet: bool) -> Iterator[Tell]:
    """A bar for each model, inside the block; nothing where nobody looks."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=is_quiet or not console.is_terminal) as bar:
        lines: dict[str, TaskID] = {}

        def tell(name: str, done: float) -> None:
            if name not in lines:
                lines[name] = bar.add_task(name, total=1.0)
            bar.update(lines[name], completed=done)

        yield tell
