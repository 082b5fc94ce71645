"""This module is the commands of whoever is on call."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from foreshard import __version__
from foreshard.cli.argument import (
    Cell,
    MaybeConfig,
    fail,
    guarded,
    in_one_line,
    newest_config,
    settings_of,
)
from foreshard.cli.costs import costs_text
from foreshard.cli.explain import explain
from foreshard.cli.overview import overview
from foreshard.config import load
from foreshard.model.errors import StoreError

__all__ = ["bundle", "freeze", "health", "profile", "replay", "status", "thaw", "why"]


def status(
    config: MaybeConfig = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="All of it, as the engine last wrote it.")
    ] = False,
) -> None:
    """Say how things stand: the plan, the forecast and what it stands on, the cells."""
    from foreshard.app import asking

    settings = guarded(lambda: settings_of(config))
    found = asking.engine_status(settings)
    if found is None:
        fail(StoreError(f"data_dir {settings.data_dir}: no engine has run here yet"))
    if is_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(overview(found, now_s=time.time(), frozen=asking.frozen_because(settings)))


def why(cell: Cell, config: MaybeConfig = None) -> None:
    """Say in plain words what was last decided about a cell, and on which evidence."""
    from foreshard.app import asking

    settings = guarded(lambda: settings_of(config))
    guarded(lambda: settings.fleet().cell(cell))
    record = guarded(lambda: asking.latest_decision(settings, cell))
    status = guarded(lambda: asking.engine_status(settings))
    fleet = guarded(lambda: asking.latest_decision(settings, "fleet"))
    typer.echo(
        explain(
            cell,
            record,
            status,
            fleet=fleet,
            costs=asking.workload_profile(settings),
            frozen=asking.frozen_because(settings),
        )
    )


def profile(
    config: MaybeConfig = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="All of it, as the engine last wrote it.")
    ] = False,
) -> None:
    """Say what requests of each class cost, as measured: ranges, categories, disagreements."""
    from foreshard.app import asking

    settings = guarded(lambda: settings_of(config))
    found = asking.workload_profile(settings)
    if found is None:
        fail(
            StoreError(
                f"data_dir {settings.data_dir}: no engine has measured costs here yet; it does "
                "from its first minute on"
            )
        )
    text = json.dumps(found, indent=1) if is_json else costs_text(found, now_s=time.time())
    typer.echo(text)


def freeze(
    reason: Annotated[str, typer.Argument(help="Said to whoever asks why nothing moves.")],
    config: MaybeConfig = None,
) -> None:
    """Stop all changes: what is live stays live, also when the engine hangs."""
    from foreshard.app import asking

    warning = guarded(lambda: asking.freeze(settings_of(config), in_one_line(reason)))
    if warning:
        typer.echo(f"foreshard: {warning}", err=True)
    typer.echo("frozen: the live plan stays until `foreshard thaw`")


def thaw(config: MaybeConfig = None) -> None:
    """Allow changes again."""
    from foreshard.app import asking

    guarded(lambda: asking.thaw(settings_of(config)))
    typer.echo("thawed: plans are applied again")


def health(
    process: Annotated[str, typer.Argument(help="serve, engine, web or relay.")],
    config: MaybeConfig = None,
) -> None:
    """Say whether a process is well; exit status 1 when it is not (for probes)."""
    from foreshard.app import asking

    is_well, text = guarded(lambda: asking.health(settings_of(config), process))
    typer.echo(text, err=not is_well)
    if not is_well:
        raise typer.Exit(1)


def bundle(
    config: MaybeConfig = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The zip; replaced if it is there.")
    ] = Path("foreshard-bundle.zip"),
    max_mb: Annotated[int, typer.Option(help="Its largest size.", min=1)] = 50,
) -> None:
    """Collect what is needed to replay and to ask for help, without secrets, in one zip."""
    from foreshard.app import bundling

    file = config if config is not None else newest_config()
    settings = guarded(lambda: load(file))
    made = guarded(
        lambda: bundling.bundle(file, settings, out=out.absolute(), most_bytes=max_mb * 2**20)
    )
    typer.echo(f"{made.path}: {len(made.files)} files")
    for name, because in made.missing.items():
        typer.echo(f"  not in it: {name} ({because})")
    for name in made.left:
        typer.echo(
            f"  look out: the value of {name} stands in the configuration in the open, as a name, "
            "an address or a key: it is left as it is"
        )


def replay(
    file: Annotated[
        Path, typer.Argument(help="Made by `foreshard bundle`.", metavar="BUNDLE.zip")
    ],
) -> None:
    """Make the decisions of a bundle again; exit status 1 when one comes out otherwise."""
    from foreshard.app import replaying

    done = guarded(lambda: replaying.replay(file))
    same = done.turns - len(done.differing)
    typer.echo(f"{same} of {done.turns} turns ({done.acts} changed the plan) came out the same")
    if done.is_other_version:
        typer.echo(
            f"  they were made by {', '.join(sorted(done.versions))}, this is {__version__}"
        )
    for name, because in done.cut.items():
        typer.echo(f"  {name} ends early: {because}")
    for now_s in done.differing[:10]:
        typer.echo(f"  otherwise: the turn at {now_s:.3f}")
    if done.differing:
        raise typer.Exit(1)
