"""This module is the commands of the lab: scenarios, runs, the scoreboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foreshard.cli.argument import guarded

__all__ = ["lab"]

Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", "-p", help="Who steers, by name; repeatable. Default: Foreshard, all, oracle."
    ),
]
Seeds = Annotated[str, typer.Option(help="Of arrivals and weather: 1-20, or 3, or 1,4,7.")]
Core = Annotated[
    str, typer.Option(help="requests or fluid; default: by size, fluid over 50 cells.")
]
Jobs = Annotated[int, typer.Option(help="Processes; default: one a core.", min=0)]
Folder = Annotated[
    Path, typer.Option(help="Where finished runs are kept, so that none is played twice.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]

lab = typer.Typer(
    help="Put policies on trial: the same scenarios, arrivals and faults for all.",
    no_args_is_help=True,
)


@lab.command()
def run(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(help="Names of shipped scenarios, or files.", metavar="SCENARIO..."),
    ] = None,
    policy: Policies = None,
    stage: Annotated[str, typer.Option(help="sim (virtual time) or live (real Envoy).")] = "sim",
    seeds: Seeds = "",
    core: Core = "",
    json: Annotated[Path | None, typer.Option(help="Where everything about them goes.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the first one's page goes.")] = None,
    again: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN.json", help="Repeat the runs of such a file."),
    ] = None,
    jobs: Jobs = 0,
    folder: Folder = Path("build/lab"),
    quiet: Quiet = False,
) -> None:
    """Play scenarios under policies, and compare what became of the requests."""
    from foreshard.cli import trials

    if again is not None:
        guarded(lambda: trials.repeat(again, policy or [], seeds))
        return
    wanted = trials.Wanted(
        scenarios=tuple(scenarios or ()),
        policies=tuple(policy or ()),
        seeds=seeds or "1",
        core=core,
        stage=stage,
        jobs=jobs,
        folder=folder,
        is_quiet=quiet,
    )
    guarded(lambda: trials.run(wanted, json=json, html=html))


@lab.command()
def scoreboard(
    scenarios: Annotated[
        list[str] | None, typer.Option("--scenarios", "-s", help="Repeatable; default: all.")
    ] = None,
    policies: Annotated[
        list[str] | None, typer.Option("--policies", "-p", help="Repeatable; default: all.")
    ] = None,
    seeds: Seeds = "1-3",
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Foreshard without one strength at a time, too.")
    ] = False,
    ablation_seeds: Annotated[str, typer.Option(help="Of the ablations.")] = "1",
    core: Core = "",
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Where the page goes.")] = None,
    jobs: Jobs = 0,
    folder: Folder = Path("build/lab"),
    quiet: Quiet = False,
) -> None:
    """Play all scenarios under all policies; ends with 1 where a claim does not hold.

    It goes on where it was interrupted: what is finished is kept, for as long as neither the
    scenario nor the code has changed.
    """
    from foreshard.cli import trials

    wanted = trials.Wanted(
        scenarios=tuple(scenarios or ()),
        policies=tuple(policies or ()),
        seeds=seeds,
        core=core,
        stage="sim",
        jobs=jobs,
        folder=folder,
        is_quiet=quiet,
    )
    guarded(
        lambda: trials.scoreboard(
            wanted,
            json=json,
            markdown=markdown,
            ablation_seeds=ablation_seeds if ablations else "",
        )
    )


@lab.command()
def new(
    out: Annotated[Path, typer.Argument(help="Where to write.", metavar="FILE")] = Path(
        "scenario.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a first, commented scenario."""
    from foreshard.cli import trials

    guarded(lambda: trials.new(out, is_forced=force))


@lab.command()
def explain(
    file: Annotated[
        Path, typer.Argument(help="What `foreshard lab run --json` wrote.", metavar="RUN.json")
    ],
    scenario: Annotated[str, typer.Option(help="Default: the first.")] = "",
    policy: Annotated[str, typer.Option("--policy", "-p", help="Default: Foreshard.")] = "",
    seed: Annotated[int | None, typer.Option(help="Default: the first.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the page goes.")] = None,
) -> None:
    """Tell what happened in one run, what was decided, and why."""
    from foreshard.app.lab import explaining

    which = explaining.Which(scenario=scenario, policy=policy, seed=seed)
    typer.echo(guarded(lambda: explaining.explained(file, which)))
    if html is not None:
        guarded(lambda: explaining.paged(file, which, html))
        typer.echo(f"page: {html}")


@lab.command()
def schema() -> None:
    """Print the JSON Schema of scenarios, for editors."""
    from foreshard.config.scenario import scenario_schema_text

    typer.echo(scenario_schema_text(), nl=False)


@lab.command("list")
def list_all() -> None:
    """List the shipped scenarios and the policies."""
    from foreshard.app.lab.cast import policies
    from foreshard.config.scenario import load_scenario, shipped_scenarios

    for name in shipped_scenarios():
        found = load_scenario(name)
        typer.echo(f"{name:<24} {found.family:<14} {found.about.strip().splitlines()[0]}")
    typer.echo(f"policies: {', '.join(policies())}")
