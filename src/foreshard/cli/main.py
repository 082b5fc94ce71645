"""This module is `foreshard`: every command, each a few lines around one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from foreshard import __version__
from foreshard.cli.checklist import checklist
from foreshard.cli.explain import explain
from foreshard.config import Settings, load
from foreshard.model.errors import ConfigError, ForeshardError

__all__ = ["app"]

T = TypeVar("T")

app = typer.Typer(
    help="Move work off a cell before the cell fails.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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


def _fail(error: ForeshardError) -> NoReturn:
    typer.echo(f"foreshard: {error}", err=True)
    raise typer.Exit(1)


def _newest_config() -> Path:
    from foreshard.lab import registry

    return _guarded(lambda: registry.newest().config)


def _settings(config: Path | None) -> Settings:
    return load(config if config is not None else _newest_config())


def _origin(settings: Settings, name: str) -> str:
    """A region with an Envoy; the first if none is named."""
    region = name or settings.origins()[0]
    if region not in settings.origins():
        known = ", ".join(settings.origins())
        _fail(ConfigError(f"origin is {region!r}, must be one of the balancers' origins: {known}"))
    return region


def _admin_port(settings: Settings, region: str) -> int:
    """Where the admin page of a region's first Envoy listens."""
    admins = [each.admin for each in settings.balancers if each.origin == region]
    return int(admins[0].rpartition(":")[2])


def _guarded(work: Callable[[], T]) -> T:
    """Run; turn what Foreshard raises on purpose into one sentence and exit status 1."""
    try:
        return work()
    except ForeshardError as error:
        _fail(error)


@app.command()
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
    cpus: Annotated[float | None, typer.Option(help="That one node may use.", min=0.01)] = None,
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
            health_path=health_path,
            metrics_path=metrics_path,
            admin=admin,
            listen=listen,
        )
        is_silent = yes or not sys.stdin.isatty()
        interview.hold(out, source, wishes, is_silent=is_silent, is_forced=force)

    _guarded(work)


@app.command()
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


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from foreshard.config.schema import schema_text

    typer.echo(schema_text(), nl=False)


@app.command()
def run(config: Config, log_format: Format = None) -> None:
    """Steer the Envoys of a configuration until Ctrl-C."""
    from foreshard.app import logs, running

    _guarded(lambda: logs.configure(log_format))
    _guarded(lambda: running.run(config.resolve(), load(config)))


@app.command()
def serve(config: Config, log_format: Format = None) -> None:
    """The discovery process alone: serves Envoys the last committed plan."""
    from foreshard.app import logs, serving

    _guarded(lambda: logs.configure(log_format))
    _guarded(lambda: serving.run_serve_process(load(config)))


@app.command()
def relay(
    config: Config,
    origin: Annotated[
        list[str] | None, typer.Option(help="Region of the Envoys beside it; default: all.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Where plans are kept; default: data_dir/relay.")
    ] = None,
    log_format: Format = None,
) -> None:
    """Stand beside Envoys: give them the last plan when they start and Foreshard is down."""
    from foreshard.app import logs, relaying

    _guarded(lambda: logs.configure(log_format))
    settings = _guarded(lambda: load(config))
    origins = tuple(_origin(settings, name) for name in origin or settings.origins())
    _guarded(lambda: relaying.run_relay_process(settings, origins=origins, keep=keep))


@app.command()
def engine(config: Config, log_format: Format = None) -> None:
    """The deciding process alone."""
    from foreshard.app import deciding, logs

    _guarded(lambda: logs.configure(log_format))
    _guarded(lambda: deciding.run_engine_process(load(config)))


@app.command()
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
    origin: Annotated[
        str, typer.Option(help="Region the Envoy stands in; default: the first.")
    ] = "",
) -> None:
    """Print the bootstrap for an Envoy that Foreshard is to steer."""
    from foreshard.app import serving

    settings = _guarded(lambda: load(config))
    region = _origin(settings, origin)
    port = admin_port or _admin_port(settings, region)
    typer.echo(
        serving.bootstrap_of(settings, node_id=node_id, admin_port=port, region=region),
        nl=False,
    )


@app.command()
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

    settings = _guarded(lambda: _settings(config))
    region = _origin(settings, origin)
    port = admin_port or _admin_port(settings, region)
    ejected = _guarded(
        lambda: ejecting.eject(settings, region=region, node_id=node_id, admin_port=port)
    )
    for problem in ejected.problems:
        typer.echo(f"foreshard: {problem}", err=True)
    typer.echo(f"foreshard: this is {ejected.source}, for {region}", err=True)
    if output is None:
        typer.echo(ejected.text, nl=False)
    else:
        _guarded(lambda: ejecting.write(output, ejected.text))


@app.command()
def why(cell: Cell, config: MaybeConfig = None) -> None:
    """Say in plain words what was last decided about a cell, and on which evidence."""
    from foreshard.app import asking

    settings = _guarded(lambda: _settings(config))
    _guarded(lambda: settings.fleet().cell(cell))
    record = _guarded(lambda: asking.latest_decision(settings, cell))
    status = _guarded(lambda: asking.engine_status(settings))
    fleet = _guarded(lambda: asking.latest_decision(settings, "fleet"))
    typer.echo(explain(cell, record, status, fleet=fleet, frozen=asking.frozen_because(settings)))


@app.command()
def freeze(
    reason: Annotated[str, typer.Argument(help="Said to whoever asks why nothing moves.")],
    config: MaybeConfig = None,
) -> None:
    """Stop all changes: what is live stays live, also when the engine hangs."""
    from foreshard.app import asking

    _guarded(lambda: asking.freeze(_settings(config), reason))
    typer.echo("frozen: the live plan stays until `foreshard thaw`")


@app.command()
def thaw(config: MaybeConfig = None) -> None:
    """Allow changes again."""
    from foreshard.app import asking

    _guarded(lambda: asking.thaw(_settings(config)))
    typer.echo("thawed: plans are applied again")


@app.command()
def health(
    process: Annotated[str, typer.Argument(help="serve or engine.")], config: MaybeConfig = None
) -> None:
    """Say whether a process is well; exit status 1 when it is not (for probes)."""
    from foreshard.app import asking

    is_well, text = _guarded(lambda: asking.health(_settings(config), process))
    typer.echo(text, err=not is_well)
    if not is_well:
        raise typer.Exit(1)


@app.command()
def bundle(
    config: MaybeConfig = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The zip; replaced if it is there.")
    ] = Path("foreshard-bundle.zip"),
    max_mb: Annotated[int, typer.Option(help="Its largest size.", min=1)] = 50,
) -> None:
    """Collect what is needed to replay and to ask for help, without secrets, in one zip."""
    from foreshard.app import bundling

    file = config if config is not None else _newest_config()
    settings = _guarded(lambda: load(file))
    made = _guarded(
        lambda: bundling.bundle(file, settings, out=out.absolute(), most_bytes=max_mb * 2**20)
    )
    typer.echo(f"{made.path}: {len(made.files)} files")
    for name, because in made.missing.items():
        typer.echo(f"  not in it: {name} ({because})")


@app.command()
def replay(
    file: Annotated[
        Path, typer.Argument(help="Made by `foreshard bundle`.", metavar="BUNDLE.zip")
    ],
) -> None:
    """Make the decisions of a bundle again; exit status 1 when one comes out otherwise."""
    from foreshard.app import replaying

    done = _guarded(lambda: replaying.replay(file))
    same = done.turns - len(done.differing)
    typer.echo(f"{same} of {done.turns} turns ({done.acts} changed the plan) came out the same")
    if done.is_other_version:
        typer.echo(
            f"  they were made by {', '.join(sorted(done.versions))}, this is {__version__}"
        )
    for now_s in done.differing[:10]:
        typer.echo(f"  otherwise: the turn at {now_s:.3f}")
    if done.differing:
        raise typer.Exit(1)


@app.command()
def fault(
    cell: Cell,
    kind: Annotated[
        str,
        typer.Argument(
            help="leak, slow_dependency, creep, throttle, disk_fill, pool, mute, crash"
        ),
    ],
    duration_s: Annotated[float, typer.Option(help="How long the fault grows.")] = 30.0,
    magnitude: Annotated[
        float | None, typer.Option(help="How strong; default: the kind's.")
    ] = None,
) -> None:
    """Break a cell of the running demo, on both fleets at once (demo only)."""
    from foreshard.app import showing

    _guarded(lambda: showing.break_cell(cell, kind, duration_s=duration_s, magnitude=magnitude))
    typer.echo(f"{kind} has begun on {cell}, on both fleets")


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No live view.")] = False,
    seed: Annotated[int, typer.Option(help="Of arrivals, keys and request costs.", min=0)] = 1,
    duration_s: Annotated[
        float | None, typer.Option(help="Length of the story; default: its own.", min=30.0)
    ] = None,
    story: Annotated[str, typer.Option(help="default, quiet, zone, surge or tight.")] = "default",
    load_ratio: Annotated[
        float | None,
        typer.Option("--load", help="Mean utilisation; default: the story's.", min=0.1, max=0.95),
    ] = None,
    forecast: Annotated[str, typer.Option(help="A forecaster by name, or none.")] = "trend",
    json: Annotated[Path | None, typer.Option(help="Where the report's figures go.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the report's page goes.")] = None,
) -> None:
    """Two equal fleets of real cells, the same traffic and faults; one steered by Foreshard."""
    from foreshard.app import showing
    from foreshard.lab.demo import DemoOptions

    options = DemoOptions(
        seed=seed,
        duration_s=duration_s,
        story=story,
        load=load_ratio,
        forecast=forecast,
        headless=headless or not sys.stdout.isatty(),
        json=json,
        html=html,
    )
    _guarded(lambda: showing.run_demo(options))


@app.command()
def report(
    figures: Annotated[
        Path, typer.Argument(help="What `foreshard demo --json` wrote.", metavar="REPORT.json")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the page goes.")] = Path(
        "report.html"
    ),
) -> None:
    """Draw the page of a run that is over from its figures alone."""
    from foreshard.app import reporting

    _guarded(lambda: reporting.draw(figures, output))
    typer.echo(f"report: {output}")


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"foreshard {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=lambda wanted: _version(wanted=wanted), is_eager=True),
    ] = False,
) -> None:
    """Move work off a cell before the cell fails."""
