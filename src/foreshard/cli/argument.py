"""This module is what commands take and how they fail: one sentence, exit status 1."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from foreshard.config import Settings, load
from foreshard.config.field import ADDRESS, PATH, PORTS, WORDS
from foreshard.model.errors import ConfigError, ForeshardError

__all__ = [
    "LEAST_CPUS",
    "MOST_CPUS",
    "Cell",
    "Config",
    "Format",
    "MaybeConfig",
    "address_of",
    "admin_of",
    "fail",
    "guarded",
    "in_one_line",
    "ip_of",
    "newest_config",
    "node_id_of",
    "origin_of",
    "path_of",
    "settings_of",
]

T = TypeVar("T")

# Of a reason; more is an accident of the clipboard.
MOST_CHARACTERS = 500
# Of one node; beyond, a slip of the keyboard.
LEAST_CPUS = 0.01
MOST_CPUS = 100_000.0
# No quotes and no line breaks: it stands in YAML, in logs and in messages.
NODE_ID = re.compile(r"[A-Za-z0-9._:~/@-]{1,200}")

Config = Annotated[Path, typer.Argument(help="Configuration, a YAML file.", metavar="CONFIG.yaml")]
MaybeConfig = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration; default: the demo that is running."),
]
Cell = Annotated[str, typer.Argument(help="Name of a cell.")]
Format = Annotated[
    str | None,
    typer.Option(
        envvar="FORESHARD_LOG_FORMAT",
        help="json or people; default: people on a terminal, else json.",
    ),
]


def fail(error: ForeshardError) -> NoReturn:
    """Say what is wrong and end with status 1."""
    typer.echo(f"foreshard: {error}", err=True)
    raise typer.Exit(1)


def newest_config() -> Path:
    """The configuration of the demo that is running."""
    from foreshard.lab import registry

    return guarded(lambda: registry.newest().config)


def settings_of(config: Path | None) -> Settings:
    """A configuration; the running demo's if none is named."""
    return load(config if config is not None else newest_config())


def origin_of(settings: Settings, name: str) -> str:
    """A region with an Envoy; the first if none is named."""
    region = name or settings.origins()[0]
    if region not in settings.origins():
        known = ", ".join(settings.origins())
        fail(ConfigError(f"origin is {region!r}, must be one of the balancers' origins: {known}"))
    return region


def admin_of(settings: Settings, region: str) -> tuple[str, int]:
    """Where the admin page of a region's first Envoy is asked: host and port."""
    admins = [each.admin for each in settings.balancers if each.origin == region]
    host, _, port = admins[0].rpartition(":")
    return host, int(port)


def address_of(option: str, text: str) -> str:
    """A host:port, or an error that names the option."""
    if re.fullmatch(ADDRESS, text) is None:
        right = f"must be HOST:PORT, {PORTS}, such as 10.0.0.5:18000"
        fail(ConfigError(f"{option} is {text!r}, {right}"))
    return text


def path_of(option: str, text: str) -> str:
    """The path of a page, or an error that names the option."""
    if re.fullmatch(PATH, text) is None:
        fail(ConfigError(f"{option} is {text!r}, {WORDS[PATH]}"))
    return text


def ip_of(option: str, text: str) -> str:
    """An address to listen on, or an error that names the option."""
    try:
        return str(ip_address("127.0.0.1" if text == "localhost" else text))
    except ValueError:
        fail(
            ConfigError(
                f"{option} is {text!r}, must be an IP address that Envoy can listen on, such as "
                "127.0.0.1; give --admin-host where `balancers` has a name"
            )
        )


def node_id_of(text: str) -> str:
    """The name of an Envoy, or an error."""
    if NODE_ID.fullmatch(text) is None:
        allowed = "letters, digits and . _ - : ~ / @"
        fail(ConfigError(f"--node-id is {text!r}, must be at most 200 {allowed}"))
    return text


def in_one_line(text: str) -> str:
    r"""Words for people, whatever was typed: who freezes in a hurry must not be refused for them.

    >>> in_one_line("stop\nit")
    'stop?it'
    """
    plain = "".join(each if each.isprintable() else "?" for each in text[: MOST_CHARACTERS + 1])
    return plain if len(plain) <= MOST_CHARACTERS else f"{plain[:MOST_CHARACTERS]}..."


def guarded(work: Callable[[], T]) -> T:
    """Run; turn what Foreshard raises on purpose into one sentence and exit status 1."""
    try:
        return work()
    except ForeshardError as error:
        fail(error)
