"""This module is the commands for keys to the API."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from foreshard.cli.argument import Config, guarded
from foreshard.config import load
from foreshard.model.catalogue import Role

__all__ = ["token"]

DAY_S = 86_400.0

token = typer.Typer(help="Keys to the API of request classes.", no_args_is_help=True)


@token.command()
def create(
    config: Config,
    name: Annotated[str, typer.Argument(help="Who is to have it; stands in the record.")],
    role: Annotated[
        Role,
        typer.Option(
            help="viewer reads and asks; operator changes classes too; admin makes keys too."
        ),
    ] = Role.VIEWER,
    days: Annotated[
        float | None, typer.Option(help="How long it is good; default: until revoked.", min=0.0)
    ] = None,
) -> None:
    """Make a key and print it; it is never shown again."""
    from foreshard.app import keys

    settings = guarded(lambda: load(config))
    expires_s = None if days is None else time.time() + days * DAY_S
    made = guarded(
        lambda: keys.create(settings, name, role, by=getpass.getuser(), expires_s=expires_s)
    )
    said = f"key {made.token.id} for {name} as {role}; keep it, it is shown once"
    typer.echo(f"foreshard: {said}", err=True)
    typer.echo(made.secret)


@token.command(name="list")
def show(config: Config) -> None:
    """List all keys that were ever made, without their secrets."""
    from foreshard.app import keys

    settings = guarded(lambda: load(config))
    for each in guarded(lambda: keys.all_of(settings)):
        state = "good"
        if each.revoked_s is not None:
            state = f"revoked {_day(each.revoked_s)}"
        elif not each.is_good(time.time()):
            state = "expired"
        elif each.expires_s is not None:
            state = f"until {_day(each.expires_s)}"
        who = f"{each.holder.name} as {each.holder.role}"
        typer.echo(f"{each.id}  {who}  made {_day(each.created_s)}  {state}")


@token.command()
def revoke(
    config: Config, key: Annotated[str, typer.Argument(help="Its id, as in the list.")]
) -> None:
    """Take a key back, from the next request on."""
    from foreshard.app import keys

    settings = guarded(lambda: load(config))
    guarded(lambda: keys.revoke(settings, key, by=getpass.getuser()))
    typer.echo(f"key {key} opens nothing any more")


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M")
