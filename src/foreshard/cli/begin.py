"""This module is the commands of the first hour: find, look, complete."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from foreshard.cli.argument import (
    LEAST_CPUS,
    MOST_CPUS,
    Config,
    address_of,
    fail,
    guarded,
    path_of,
)
from foreshard.cli.checklist import checklist
from foreshard.config import load
from foreshard.model.errors import ConfigError

__all__ = ["check", "init", "schema"]


def init(
    out: Annotated[Path, typer.Argument(help="Where to write.")] = Path("foreshard.yaml"),
    from_envoy: Annotated[
        str, typer.Option(metavar="ADMIN", help="Admin page of the Envoy in front: host:port.")
    ] = "",
    from_prometheus: Annotated[
        str, typer.Option(metavar="URL", help="Prometheus that scrapes the cells.")
    ] = "",
    cells: Annotated[
        list[str] | None,
        typer.Option(help="NAME=IP:PORT,...@REGION/ZONE, or a file of such lines; repeatable."),
    ] = None,
    cluster: Annotated[
        list[str] | None, typer.Option(help="Clusters of that Envoy; default: all it routes to.")
    ] = None,
    job: Annotated[str, typer.Option(help="Job of that Prometheus.")] = "",
    service: Annotated[str, typer.Option(help="Name of the service.")] = "",
    request_class: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="'checkout=POST /checkout key=x-customer objective=0.4 timeout=2'; repeatable.",
        ),
    ] = None,
    cpus: Annotated[
        float | None, typer.Option(help="That one node may use.", min=LEAST_CPUS, max=MOST_CPUS)
    ] = None,
    memory_limit: Annotated[
        str, typer.Option(metavar="SIZE", help="At which one node is killed: 512MiB.")
    ] = "",
    health_path: Annotated[str, typer.Option(help="Default: what is found.")] = "",
    metrics_path: Annotated[str, typer.Option(help="Default: what is found.")] = "",
    admin: Annotated[str, typer.Option(help="Admin page of the Envoy to be steered.")] = "",
    listen: Annotated[str, typer.Option(help="Where it is to take requests: host:port.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Find your cells and write a first, commented configuration."""
    from foreshard.app.starting import Limits, Source, Wishes, class_of
    from foreshard.cli import interview

    def work() -> None:
        source = Source(
            envoy=from_envoy,
            clusters=tuple(cluster or ()),
            prometheus=from_prometheus,
            job=job,
            cells=tuple(cells or ()),
        )
        memory = interview.bytes_of(memory_limit) if memory_limit else None
        wishes = Wishes(
            service=service,
            classes=tuple(class_of(each) for each in request_class or ()),
            limits=Limits(cpus=cpus, memory_bytes=memory),
            health_path=path_of("--health-path", health_path) if health_path else "",
            metrics_path=path_of("--metrics-path", metrics_path) if metrics_path else "",
            admin=address_of("--admin", admin) if admin else "",
            listen=address_of("--listen", listen) if listen else "",
        )
        is_silent = yes or not sys.stdin.isatty()
        interview.hold(out, source, wishes, is_silent=is_silent, is_forced=force)

    guarded(work)


def check(
    config: Config,
    strict: Annotated[bool, typer.Option("--strict", help="Amber fails too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at everything a configuration names; say what is missing, what is lost, what to do."""
    from foreshard.app.checking.check import check as look
    from foreshard.app.checking.check import unreadable

    try:
        found = look(load(config), file=str(config))
    except ConfigError as error:
        found = unreadable(error)
    typer.echo(dumps(found.to_json(), indent=2) if json else checklist(found, sys.stdout))
    raise typer.Exit(found.exit_status(is_strict=strict))


def schema(
    of: Annotated[str, typer.Argument(help="configuration or backtest.")] = "configuration",
) -> None:
    """Print the JSON Schema of the configuration, or of backtests, for editors."""
    from foreshard.config.backtest import backtest_schema_text
    from foreshard.config.schema import schema_text

    texts = {"configuration": schema_text, "backtest": backtest_schema_text}
    if of not in texts:
        fail(ConfigError(f"schema: {of!r} has none, must be one of {', '.join(texts)}"))
    typer.echo(texts[of](), nl=False)
