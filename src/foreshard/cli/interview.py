"""This module is what `foreshard init` asks a person, and what it tells afterwards."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import typer

from foreshard.app.starting import Source, Wishes, drafted, found, write
from foreshard.app.starting.sighting import Sighting
from foreshard.cli.argument import LEAST_CPUS, MOST_CPUS
from foreshard.config.draft import Draft, GaugeDraft
from foreshard.config.schema import SCHEMA_FILE
from foreshard.config.template import asked
from foreshard.model.errors import ConfigError

__all__ = ["bytes_of", "hold", "steps", "summary"]

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
SIZE = re.compile(r"^(?P<number>\d+(\.\d+)?)\s*(?P<unit>[KMGT]?)(i?B)?$", re.IGNORECASE)


def bytes_of(text: str) -> float:
    """A size as people write it: 512MiB, 2G, 1500000000.

    >>> bytes_of("512MiB")
    536870912.0

    Raises:
        ConfigError: It is none.
    """
    match = SIZE.match(text.strip())
    if match is None or float(match["number"]) <= 0.0:
        raise ConfigError(f"memory limit {text!r}: write it like 512MiB or 2GiB")
    return float(match["number"]) * UNITS[match["unit"].upper()]


def hold(out: Path, source: Source, wishes: Wishes, *, is_silent: bool, is_forced: bool) -> None:
    """Find the cells, ask what is missing, write, and say what was done.

    Args:
        out: The file to write.
        source: Where to look.
        wishes: What was said on the command line.
        is_silent: Ask nothing.
        is_forced: Overwrite.

    Raises:
        ConfigError: The cells cannot be found, or the file cannot be written.
    """
    if out.exists() and not is_forced:
        raise ConfigError(f"{out}: is there already; --force overwrites it")
    if source == Source() and not is_silent:
        source = _ask_source()
    sighting = found(source)
    draft = drafted(sighting, wishes)
    if not is_silent:
        if not wishes.service:
            draft = replace(draft, service=typer.prompt("Name of the service", default="service"))
        draft = replace(draft, gauges=tuple(_ask_limit(gauge) for gauge in draft.gauges))
    typer.echo(summary(sighting, draft))
    if not is_silent and not typer.confirm(f"Write {out}?", default=True):
        raise typer.Exit(1)
    write(draft, out, is_forced=is_forced)
    typer.echo(f"wrote {out}, and {SCHEMA_FILE} beside it for your editor")
    typer.echo(steps(draft, file=str(out)))


def summary(sighting: Sighting, draft: Draft) -> str:
    """What was found, and what must still be said."""
    known = [gauge for gauge in draft.gauges if gauge.limit is not None]
    lines = [f"found at {sighting.found_at}", *(f"  {note}" for note in sighting.notes)]
    lines += [
        f"  {cell.name}: {', '.join(f'{n.host}:{n.port}' for n in cell.nodes)} in {cell.region}"
        for cell in draft.cells[:20]
    ]
    if len(draft.cells) > 20:
        lines.append(f"  and {len(draft.cells) - 20} more")
    lines.append(f"watched on {draft.metrics_path}")
    lines += [f"  {g.resource}: {g.used.name}" for g in known]
    if unknown := asked(draft):
        lines += ["to be said by you, marked ASK in the file", *(f"  {each}" for each in unknown)]
    return "\n".join(lines)


def steps(draft: Draft, *, file: str) -> str:
    """What to do next, once the file is there."""
    port = draft.balancers[0].admin.rpartition(":")[2]
    return "\n".join(
        [
            "next",
            f"  foreshard check {file}",
            f"  foreshard run {file}                        # observes only, until mode is act",
            f"  foreshard bootstrap {file} > envoy.yaml     # then start Envoy with it, in place",
            f"    of the one at admin port {port}; it takes requests at {draft.listen}",
        ]
    )


def _ask_source() -> Source:
    typer.echo(
        "Where are your cells?\n  1  behind an Envoy\n  2  in a Prometheus\n  3  I list them"
    )
    choice = typer.prompt("1, 2 or 3", default="1")
    if choice == "2":
        return Source(prometheus=typer.prompt("Its address", default="127.0.0.1:9090"))
    if choice == "3":
        cells = typer.prompt("NAME=IP:PORT,IP:PORT@REGION/ZONE ..., or a file of such lines")
        return Source(cells=tuple(cells.split()))
    return Source(envoy=typer.prompt("Its admin page", default="127.0.0.1:9901"))


def _ask_limit(gauge: GaugeDraft) -> GaugeDraft:
    if gauge.limit is not None:
        return gauge
    if gauge.is_capacity:
        cpus = typer.prompt("How many cpus may one node use?", type=float)
        if not LEAST_CPUS <= cpus <= MOST_CPUS:
            raise ConfigError(f"cpus of one node: {cpus:g} is no number of them, write it like 2")
        return replace(gauge, limit=cpus, because="as you said")
    text = typer.prompt(
        f"At how much {gauge.resource} is one node killed? (512MiB; empty = I do not know)",
        default="",
        show_default=False,
    )
    return replace(gauge, limit=bytes_of(text), because="as you said") if text else gauge
