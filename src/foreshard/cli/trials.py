"""This module is the lab's commands at work: a progress bar, tables, files, an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from foreshard.app.lab import board, explaining, running
from foreshard.app.lab.matrix import Matrix, matrix, shelf
from foreshard.lab.trial.listing import COLUMNS, averted_text, claim_row, policy_rows
from foreshard.lab.trial.runner import Ended
from foreshard.lab.trial.scoreboard import page_of_board
from foreshard.lab.trial.task import seeds_of
from foreshard.model.errors import ConfigError, LabError

__all__ = ["Wanted", "new", "repeat", "run", "scoreboard"]

# A table is read whole: a terminal that is narrower folds it, a file does not.
LEAST_WIDTH = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What both commands that play are asked for.

    Attributes:
        scenarios, policies: Names; none = what the command says.
        seeds: As they were typed.
        core, stage: Names.
        jobs: Processes; 0 = one a core.
        folder: Where finished runs are kept.
        is_quiet: Whether nobody looks at the progress.
    """

    scenarios: tuple[str, ...]
    policies: tuple[str, ...]
    seeds: str
    core: str
    stage: str
    jobs: int
    folder: Path
    is_quiet: bool


def run(wanted: Wanted, *, json: Path | None, html: Path | None) -> None:
    """Play, show, write."""
    if not wanted.scenarios:
        raise LabError("run: name a scenario or a file; `foreshard lab list` lists them")
    whole = _matrix(wanted, wanted.scenarios, wanted.policies)
    failed = _filled(whole, wanted)
    values = running.run_file(whole, command=_command())
    if not values["runs"]:
        raise LabError("; ".join(dict.fromkeys(each.because for each in failed)))
    console = _console()
    for table in values["tables"]:
        console.print(_table_of(table))
        _say_averted(table)
    if json is not None:
        board.written(values, json)
        typer.echo(f"runs: {json}")
    if html is not None:
        explaining.page_from(values, explaining.Which(), html)
        typer.echo(f"page: {html}")
    _complain(failed)


def scoreboard(
    wanted: Wanted, *, json: Path | None, markdown: Path | None, ablation_seeds: str
) -> None:
    """Play, show, write; exit status 1 where a claim does not hold."""
    whole = _matrix(wanted, wanted.scenarios or shelf(), wanted.policies)
    lesser = board.ablated(whole, seeds_of(ablation_seeds)) if ablation_seeds else None
    failed = _filled(whole, wanted)
    if lesser is not None:
        failed += _filled(lesser, wanted)
    values = board.board_of(whole, command=_command(), failed=failed, ablations=lesser)
    console = _console()
    for table in values["tables"]:
        console.print(_table_of(table))
        _say_averted(table)
    console.print(_claims(values["claims"]))
    if json is not None:
        board.written(values, json)
        typer.echo(f"figures: {json}")
    if markdown is not None:
        board.written_text(page_of_board(values), markdown)
        typer.echo(f"page: {markdown}")
    _complain(failed)
    if any(claim["holds"] is False for claim in values["claims"]):
        raise typer.Exit(1)


def repeat(path: Path, policies: Sequence[str], seeds: str) -> None:
    """Play the runs of a file again; exit status 1 where one is not the same to the bit."""
    chosen = seeds_of(seeds) if seeds else ()
    is_same = True
    for each in running.again(path, policies=policies, seeds=chosen):
        verdict = "the same to the bit" if each.is_same else f"DIFFERS: {each.was[:12]} before"
        typer.echo(f"{each.label}: {each.now[:12]}, {verdict}")
        is_same &= each.is_same
    if not is_same:
        edition = running.opened(path)["edition"]
        typer.echo(f"foreshard: the runs were of {edition}; this is another one", err=True)
        raise typer.Exit(1)


def new(out: Path, *, is_forced: bool) -> None:
    """Write a first scenario."""
    from foreshard.config.scenario import template_of_scenario

    if out.exists() and not is_forced:
        raise ConfigError(f"{out} exists; name another file, or say --force")
    try:
        out.write_text(template_of_scenario(out.stem), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error}") from error
    typer.echo(f"{out}: now edit it, then `foreshard lab run {out}`")


def _matrix(wanted: Wanted, scenarios: Sequence[str], policies: Sequence[str]) -> Matrix:
    return matrix(
        scenarios,
        policies,
        seeds_of(wanted.seeds),
        core=wanted.core,
        stage=wanted.stage,
        folder=wanted.folder,
    )


def _filled(whole: Matrix, wanted: Wanted) -> tuple[Ended, ...]:
    jobs = wanted.jobs or os.cpu_count() or 1
    try:
        with _progress(is_quiet=wanted.is_quiet) as (begin, tell):
            failed = board.fill(whole, jobs=jobs, begin=begin, tell=tell)
    except KeyboardInterrupt:
        typer.echo("foreshard: interrupted; the same command goes on where it was", err=True)
        raise
    for task, report in whole.schools():
        if not report.model:
            typer.echo(
                f"foreshard: {task.label}: nothing was learned, forecasts are those of trend "
                f"alone: {report.because}",
                err=True,
            )
    return failed


@contextmanager
def _progress(
    *, is_quiet: bool
) -> Iterator[tuple[Callable[[int], None], Callable[[Ended], None]]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=is_quiet or not console.is_terminal) as bar:
        line = bar.add_task("runs", total=None)

        def tell(ended: Ended) -> None:
            bar.update(line, advance=1, description=ended.task.label)
            if not console.is_terminal and not is_quiet:
                console.print(f"played {ended.task.label}", highlight=False)

        yield lambda count: bar.update(line, total=count), tell


def _table_of(table: Mapping[str, Any]) -> Table:
    count = len(table["seeds"])
    seeds = f"{count} seed{'s' if count != 1 else ''}"
    title = f"{table['name']} ({table['family']}, {table['cells']} cells, {seeds})"
    drawn = Table(title=title, title_justify="left", caption_justify="left")
    for column in COLUMNS:
        drawn.add_column(column, justify="left" if column == "policy" else "right")
    least = min(row["bad_ratio"] for row in table["policies"].values())
    for name, row in zip(table["policies"], policy_rows(table), strict=True):
        is_best = table["policies"][name]["bad_ratio"] <= least
        drawn.add_row(*row, style="bold" if is_best else None)
    return drawn


def _say_averted(table: Mapping[str, Any]) -> None:
    told = (
        ("averted against the best balancer", "balancers"),
        ("averted against the best that does not foresee", "unforeseeing"),
    )
    for text, key in told:
        if table["averted"][key] is not None:
            typer.echo(f"  {text}: {averted_text(table['averted'][key])}")


def _claims(claims: Sequence[Mapping[str, Any]]) -> Table:
    drawn = Table(title="What has to hold", title_justify="left")
    for column in ("family", "claim", "found", "limit", "verdict", "where"):
        drawn.add_column(column)
    for claim in claims:
        drawn.add_row(*claim_row(claim))
    return drawn


def _complain(failed: Sequence[Ended]) -> None:
    for ended in failed:
        typer.echo(f"foreshard: {ended.task.label}: {ended.because}", err=True)
    if failed:
        raise typer.Exit(1)


def _console() -> Console:
    console = Console()
    return console if console.width >= LEAST_WIDTH else Console(width=LEAST_WIDTH)


def _command() -> str:
    return " ".join(["foreshard", *sys.argv[1:]])
