"""This module is `foreshard train`: a progress bar, a verdict, an exit status."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foreshard.cli.argument import MaybeConfig, fail, guarded, settings_of
from foreshard.model.errors import ConfigError, ForecastError, ForeshardError

if TYPE_CHECKING:
    from foreshard.app.remembering import Record
    from foreshard.config import Settings
    from foreshard.forecast.onset import BreachRule

__all__ = ["train"]

Told = Callable[[float], None]


def train(
    config: MaybeConfig = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="A learner by name; may be given again; default: the one "
            "that the configuration flies (forecast.model).",
        ),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            help="Learn from data of others, described as for `foreshard backtest`.",
            metavar="SPEC.yaml",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --spec: a Parquet or CSV file.", metavar="FILE"),
    ] = None,
    prometheus: Annotated[
        str, typer.Option(help="With --spec: a server that is asked its queries.", metavar="URL")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="In place of training.seed.", min=0)] = None,
    memory_mb: Annotated[
        float | None, typer.Option(help="In place of training.memory_mb.", min=100.0)
    ] = None,
    is_fresh: Annotated[
        bool, typer.Option("--fresh", help="Leave what an interrupted run had done.")
    ] = False,
    niceness: Annotated[
        int, typer.Option("--nice", help="Give way to other processes, by so much.", min=0, max=19)
    ] = 0,
    is_quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Make a model of the metric history; it flies if it is better than the one that does.

    What was interrupted goes on where it was. The exit status is 0 whether the new model flies or
    not, and 1 where none could be made.
    """
    from foreshard.app import training

    settings = training.altered(
        guarded(lambda: settings_of(config)), seed=seed, memory_mb=memory_mb
    )
    names = tuple(dict.fromkeys(model or [training.learner_of(settings)]))
    os.nice(niceness)
    if spec is None and (data is not None or prometheus):
        fail(
            ConfigError(
                "train: --data and --prometheus need --spec SPEC.yaml, which says what "
                "is in them; examples/backtest/ has some"
            )
        )
    training.bound_memory(settings.training.memory_mb)
    failed: list[ForeshardError] = []
    with _stages(is_quiet=is_quiet) as stage:
        for name in names:
            now_s = time.time()
            until_s = now_s if is_fresh else training.begun_at_s(settings, name, now_s=now_s)
            try:
                record, rule = _record(settings, spec, data, prometheus, until_s)
                made = training.train(
                    settings, name, record, now_s=now_s, stage=stage, until_s=until_s, rule=rule
                )
            except ForeshardError as error:
                failed.append(error)
                continue
            except MemoryError:
                failed.append(
                    ForecastError(f"{name}: the record alone needs more than training.memory_mb")
                )
                continue
            if made.card.portion:
                _say(made.card.portion)
            typer.echo(f"{made.name}: {made.card.because}")
    for each in failed[:-1]:
        _say(str(each))
    if failed:
        fail(failed[-1])


def _record(
    settings: Settings, spec: Path | None, data: Path | None, prometheus: str, until_s: float
) -> tuple[Record, BreachRule | None]:
    from foreshard.app.foreign import foreign_record
    from foreshard.app.remembering import recorded

    if spec is None:
        return recorded(settings, until_s=until_s, refused=_say), None
    return foreign_record(settings, spec, data=data, prometheus=prometheus)


def _say(text: str) -> None:
    typer.echo(f"foreshard: {text}", err=True)


@contextmanager
def _stages(*, is_quiet: bool) -> Iterator[Callable[[str], Told]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    hides = is_quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hides) as bar:

        def stage(text: str) -> Told:
            if hides and not is_quiet:
                console.print(text, highlight=False)
            line = bar.add_task(text, total=1.0)
            return lambda done: bar.update(line, completed=done)

        yield stage
