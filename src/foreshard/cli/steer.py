"""This module is the commands that steer, and the one to walk away with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foreshard.cli.argument import (
    Config,
    Format,
    MaybeConfig,
    address_of,
    admin_of,
    guarded,
    ip_of,
    node_id_of,
    origin_of,
    settings_of,
)
from foreshard.config import load

__all__ = ["bootstrap", "eject", "engine", "foresee", "relay", "run", "serve", "web"]


def run(config: Config, log_format: Format = None) -> None:
    """Steer the Envoys of a configuration until Ctrl-C."""
    from foreshard.app import logs, running

    guarded(lambda: logs.configure(log_format))
    guarded(lambda: running.run(config.resolve(), load(config)))


def serve(config: Config, log_format: Format = None) -> None:
    """The discovery process alone: serves Envoys the last committed plan."""
    from foreshard.app import logs, serving

    guarded(lambda: logs.configure(log_format))
    guarded(lambda: serving.run_serve_process(load(config)))


def relay(
    config: Config,
    origin: Annotated[
        list[str] | None, typer.Option(help="Region of the Envoys beside it; default: all.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Where plans are kept; default: data_dir/relay.")
    ] = None,
    discovery: Annotated[
        str,
        typer.Option(
            help="Where this host reaches Foreshard; default: envoy.discovery.",
            metavar="HOST:PORT",
        ),
    ] = "",
    log_format: Format = None,
) -> None:
    """Stand beside Envoys: give them the last plan when they start and Foreshard is down."""
    from foreshard.app import logs, relaying

    guarded(lambda: logs.configure(log_format))
    settings = guarded(lambda: load(config))
    origins = tuple(origin_of(settings, name) for name in origin or settings.origins())
    tell: relaying.Tell = relaying.silent
    if settings.metrics.relay is not None:
        from foreshard.app import telling

        tell = telling.relay_pages(settings.metrics.relay)
    upstream = address_of("--discovery", discovery) if discovery else settings.envoy.discovery
    guarded(
        lambda: relaying.run_relay_process(
            settings, origins=origins, keep=keep, upstream=upstream, tell=tell
        )
    )


def engine(config: Config, log_format: Format = None) -> None:
    """The deciding process alone."""
    from foreshard.app import deciding, logs

    guarded(lambda: logs.configure(log_format))
    guarded(lambda: deciding.run_engine_process(load(config), config))


def web(config: Config, log_format: Format = None) -> None:
    """The API of request classes alone; `run` starts it where `api.listen` is set."""
    from foreshard.app import logs
    from foreshard.app import web as answering

    guarded(lambda: logs.configure(log_format))
    guarded(lambda: answering.run_web_process(load(config)))


def foresee(config: Config, log_format: Format = None) -> None:
    """What the trained model foresees, step by step; the engine starts it when there is one."""
    from foreshard.app import foreseeing, logs

    guarded(lambda: logs.configure(log_format))
    guarded(lambda: foreseeing.run_foresee_process(load(config)))


def bootstrap(
    config: Config,
    node_id: Annotated[str, typer.Option(help="Unique among the Envoys.")] = "edge-1",
    admin_port: Annotated[
        int | None,
        typer.Option(
            help="Where this Envoy's admin page listens; default: as under balancers.",
            min=1,
            max=65_535,
        ),
    ] = None,
    admin_host: Annotated[
        str,
        typer.Option(help="Address its admin page listens on; default: as under balancers."),
    ] = "",
    origin: Annotated[
        str, typer.Option(help="Region the Envoy stands in; default: the first.")
    ] = "",
    discovery: Annotated[
        str,
        typer.Option(
            help="Where this Envoy reaches Foreshard; default: envoy.discovery.",
            metavar="HOST:PORT",
        ),
    ] = "",
) -> None:
    """Print the bootstrap for an Envoy that Foreshard is to steer."""
    from foreshard.app import serving

    settings = guarded(lambda: load(config))
    region = origin_of(settings, origin)
    host, port = admin_of(settings, region)
    text = serving.bootstrap_of(
        settings,
        node_id=node_id_of(node_id),
        admin_port=admin_port or port,
        admin_host=ip_of("--admin-host", admin_host or host),
        region=region,
        discovery=address_of("--discovery", discovery) if discovery else None,
    )
    typer.echo(text, nl=False)


def eject(
    config: MaybeConfig = None,
    origin: Annotated[
        str, typer.Option(help="Region the Envoy stands in; default: the first.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: print.")
    ] = None,
    node_id: Annotated[str, typer.Option(help="Name of the Envoy.")] = "edge-1",
    admin_port: Annotated[
        int | None,
        typer.Option(
            help="Where this Envoy's admin page listens; default: as under balancers.",
            min=1,
            max=65_535,
        ),
    ] = None,
) -> None:
    """Render the plan as a plain Envoy configuration that needs no Foreshard."""
    from foreshard.app import ejecting

    name = node_id_of(node_id)
    settings = guarded(lambda: settings_of(config))
    region = origin_of(settings, origin)
    port = admin_port or admin_of(settings, region)[1]
    ejected = guarded(
        lambda: ejecting.eject(settings, region=region, node_id=name, admin_port=port)
    )
    for problem in ejected.problems:
        typer.echo(f"foreshard: {problem}", err=True)
    typer.echo(f"foreshard: this is {ejected.source}, for {region}", err=True)
    if output is None:
        typer.echo(ejected.text, nl=False)
    else:
        guarded(lambda: ejecting.write(output, ejected.text))
