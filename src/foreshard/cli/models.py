"""This module is `foreshard models`: which are there, what they are worth, and which flies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from foreshard.cli.argument import MaybeConfig, guarded, settings_of

__all__ = ["models"]

models = typer.Typer(
    help="Trained models: list them, show one, let another one fly.", no_args_is_help=True
)
Id = Annotated[str, typer.Argument(help="As `foreshard models list` names it.")]
# A table is read whole: a terminal that is narrower folds it, a file does not.
LEAST_WIDTH = 130


@models.command("list")
def list_models(config: MaybeConfig = None) -> None:
    """List all kept models, and which of them flies."""
    from foreshard.app import choosing

    found = choosing.listed(guarded(lambda: settings_of(config)))
    if not found:
        typer.echo("no model was trained yet: `foreshard train`")
        return
    table = Table()
    for column in ("model", "", "trained", "learned from", "failures", "log loss", "because"):
        table.add_column(column, overflow="fold")
    for each in found:
        card = each.card
        if card is None:
            table.add_row(each.name, "refused", "", "", "", "", each.refused)
            continue
        days = (card.learned_until_s - card.begins_s) / 86_400.0
        table.add_row(
            each.name,
            each.state,
            _when(card.trained_at_s),
            f"{days:.1f} days, {card.cells} cells",
            str(card.onsets),
            _loss(card.scores.get(f"new {card.learner}", {})),
            card.because,
        )
    console = Console()
    (console if console.width >= LEAST_WIDTH else Console(width=LEAST_WIDTH)).print(table)


@models.command()
def show(
    name: Id,
    config: MaybeConfig = None,
    is_json: Annotated[bool, typer.Option("--json", help="The whole card as JSON.")] = False,
) -> None:
    """Show the card of a model: its data, its scores, its versions."""
    from foreshard.app import choosing

    card = guarded(lambda: choosing.card_of(settings_of(config), name))
    if is_json:
        typer.echo(json.dumps(card.values(), indent=1))
        return
    typer.echo(f"{name}, trained {_when(card.trained_at_s)}, seed {card.seed}")
    typer.echo(
        f"  learned from {card.cells} cells, {_when(card.begins_s)} to "
        f"{_when(card.learned_until_s)}, {card.onsets} failures; steps of {card.step_s:g} s"
    )
    if card.portion:
        typer.echo(f"  left out: {card.portion}")
    typer.echo(f"  gauges: {', '.join(card.gauges)}")
    typer.echo(f"  horizons: {', '.join(f'{h:g} s' for h in card.horizons_s)}")
    typer.echo(f"  {card.because}")
    for each, by_horizon in card.scores.items():
        for horizon, score in by_horizon.items():
            told = ", ".join(f"{k} {_number(v)}" for k, v in score.items())
            typer.echo(f"    {each}, {horizon} s: {told}")
    typer.echo(f"  made with {', '.join(f'{k} {v}' for k, v in card.versions.items())}")


@models.command()
def promote(name: Id, config: MaybeConfig = None) -> None:
    """Let a model fly, whatever its score; a running engine takes it over by itself."""
    from foreshard.app import choosing

    note = guarded(lambda: choosing.promote(settings_of(config), name))
    typer.echo(f"{note.champion} flies; `foreshard models rollback` takes that back")


@models.command()
def rollback(
    learner: Annotated[
        str, typer.Argument(help="Whose; default: the one that the configuration flies.")
    ] = "",
    config: MaybeConfig = None,
) -> None:
    """Let the model fly again that flew before."""
    from foreshard.app import choosing

    settings = guarded(lambda: settings_of(config))
    note = guarded(lambda: choosing.roll_back(settings, learner or settings.forecast.model))
    typer.echo(f"{note.champion} flies again")


def _when(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _loss(by_horizon: Any) -> str:  # noqa: ANN401 - JSON values
    return " ".join(_number(score.get("log_loss")) for score in by_horizon.values())


def _number(value: Any) -> str:  # noqa: ANN401 - a JSON value
    return "-" if value is None else f"{value:.4g}"
