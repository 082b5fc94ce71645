"""This module is `foreshard eject`: the plan as a configuration that does without us.

Asked in turn: the live plan, the one that was last committed in the data directory, and the one
that a relay on this machine has kept. What is used is said.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from foreshard import __version__
from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.committed import CommittedTable
from foreshard.adapters.routing.durable import replace_file
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.snapshot import Snapshot, views
from foreshard.adapters.routing.envoy.static import static_configuration, static_text
from foreshard.adapters.routing.last_good import LastGood
from foreshard.app.places import relay_dir
from foreshard.app.sealing import seal_of
from foreshard.app.serving import envoy_settings
from foreshard.config import Settings
from foreshard.config.plain_file import place_of
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable

__all__ = ["Ejected", "eject", "write"]

# A hung `serve` is as good as a dead one to somebody who is leaving.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ejected:
    """A configuration for an Envoy of one region.

    Attributes:
        text: YAML.
        source: Which plan it is, for people.
        problems: Why a better source could not be used.
    """

    text: str
    source: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    snapshot: Snapshot
    source: str


def eject(settings: Settings, *, region: str, node_id: str, admin_port: int) -> Ejected:
    """Render the best plan there is as a static configuration.

    Raises:
        SinkError: There is none.
    """
    problems: list[str] = []
    found = (
        _live(settings, region, problems)
        or _committed(settings, region, problems)
        or _relayed(settings, region, problems)
    )
    if found is None:
        tried = "; ".join(problems)
        raise SinkError(f"there is no plan to eject: {tried}; name the configuration that ran")
    configuration = static_configuration(
        found.snapshot, node_id=node_id, region=region, admin_port=admin_port
    )
    text = static_text(configuration, header=_header(found.source, region))
    return Ejected(text=text, source=found.source, problems=tuple(problems))


def write(path: Path, text: str) -> None:
    """Put the configuration into a file, whole or not at all.

    Raises:
        SinkError: The disk refuses.
    """
    try:
        replace_file(place_of(path), text.encode())
    except OSError as error:
        raise SinkError(f"{path}: cannot be written ({error.strerror}); name another") from error


def _live(settings: Settings, region: str, problems: list[str]) -> _Found | None:
    async def ask() -> RoutingTable | None:
        async with ServeSink(settings.data_dir, timeout_s=PATIENCE_S) as sink:
            return await sink.live()

    try:
        table = asyncio.run(ask())
    except SinkError as error:
        problems.append(str(error))
        return None
    if table is None:
        problems.append("`foreshard serve` runs but has no plan yet")
        return None
    return _rendered(settings, table, region, f"the live plan {table.version}")


def _committed(settings: Settings, region: str, problems: list[str]) -> _Found | None:
    committed = CommittedTable(settings.data_dir).load()
    problems += committed.problems
    table = committed.table
    if table is None:
        problems.append(f"no plan was ever committed in {settings.data_dir}")
        return None
    at = _at(committed.saved_at_s)
    return _rendered(settings, table, region, f"the last plan {table.version}, committed {at}")


def _relayed(settings: Settings, region: str, problems: list[str]) -> _Found | None:
    directory = relay_dir(settings)
    kept = LastGood(directory, region, seal_of(settings)).load()
    problems += kept.problems
    one = kept.edition
    if one is None:
        problems.append(f"no relay ever kept a plan for {region} in {directory}")
        return None
    at, seen = _at(one.committed_at_s), _at(kept.confirmed_at_s)
    source = f"the relay's plan {one.version}, committed {at} and confirmed until {seen}"
    return _Found(snapshot=one.snapshot, source=source)


def _rendered(settings: Settings, table: RoutingTable, region: str, source: str) -> _Found:
    envoy = envoy_settings(settings)
    whole = asyncio.run(
        views(table, lambda one, origin: render(one, origin=origin, settings=envoy))
    )
    return _Found(snapshot=whole.of(region), source=source)


def _header(source: str, region: str) -> str:
    now = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"""\
A plain Envoy configuration: it asks no control plane for anything.
Made by foreshard {__version__} at {now} from {source}, for origin {region}.

It does what that plan did, and goes on doing it: same cell for the same key, same weights, same
shedding. Nobody changes it any more when a cell is about to fail; health checks, ejection and
retries still work. The header x-foreshard-class still names each request's class to the cells,
and the counters under foreshard. still count. stats_config keeps the rest out of memory; delete
it to see all of Envoy's statistics.

To change a share: weights of endpoints (classes without key), weights of weighted_clusters (with
key: the order counts too), then start Envoy anew.
To go back: `foreshard run CONFIG.yaml`, and start Envoy with `foreshard bootstrap CONFIG.yaml`.

"""


def _at(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
