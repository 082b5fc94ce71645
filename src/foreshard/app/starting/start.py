"""This module is `foreshard init`: find the cells, hear what they say, write it down.

It asks the world and changes nothing in it; the only thing it writes is the file it was told to.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from foreshard.adapters.inspection.envoy import EnvoyDump, parse_dump, parse_hosts, parse_info
from foreshard.adapters.inspection.http import Answer, Asker, Silent
from foreshard.adapters.inspection.targets import TARGETS_PATH, parse_targets
from foreshard.adapters.metrics.exposition import Page
from foreshard.app.starting import from_envoy, from_prometheus, listed
from foreshard.app.starting.gauges import Limits, proposed, read_page
from foreshard.app.starting.sighting import Sighting, renamed
from foreshard.config import parse
from foreshard.config.draft import BalancerDraft, ClassDraft, Draft
from foreshard.config.field import ADDRESS, WORDS
from foreshard.config.plain_file import place_of, read_bytes
from foreshard.config.schema import SCHEMA_FILE, schema_text
from foreshard.config.template import template
from foreshard.model.errors import ConfigError, SourceError
from foreshard.model.topology import Node

__all__ = ["Source", "Wishes", "drafted", "found", "write"]

ANSWER_S = 5.0
# Pages beyond these tell the same.
MOST_PAGES = 20
METRICS_PATHS = ("/metrics", "/actuator/prometheus", "/q/metrics", "/prometheus")
HEALTH_PATHS = ("/health", "/healthz", "/health/ready", "/actuator/health", "/ready", "/-/healthy")
MOST_OF_A_SCHEMA = 1024 * 1024
# As in most examples of Envoy.
ADMIN_PORT = 9901
OTHER_CLASSES = ClassDraft(name="all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where cells are to be found; one of the three.

    Attributes:
        envoy: Admin page of an Envoy.
        clusters: Of that Envoy; none = all that it routes to.
        prometheus: URL of a Prometheus.
        job: Of that Prometheus; "" = its only one.
        cells: Typed, or files of typed ones.
    """

    envoy: str = ""
    clusters: tuple[str, ...] = ()
    prometheus: str = ""
    job: str = ""
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person said beforehand.

    Attributes:
        service: Name of the service; "" = unsaid.
        classes: Request classes; none = those that were found.
        limits: Of one node.
        health_path: "" = the one that is found.
        metrics_path: The same.
        admin: Admin page of the Envoy in front, when the cells were found elsewhere.
        listen: Where Envoy is to take requests; "" = where it does now.
    """

    service: str = ""
    classes: tuple[ClassDraft, ...] = ()
    limits: Limits = field(default_factory=Limits)
    health_path: str = ""
    metrics_path: str = ""
    admin: str = ""
    listen: str = ""


def found(source: Source) -> Sighting:
    """The fleet that is to be found there.

    Raises:
        ConfigError: None is, or it is not clear where to look.
    """
    named = [each for each in (source.envoy, source.prometheus, source.cells) if each]
    if len(named) != 1:
        raise ConfigError(
            "where are the cells? give one of --from-envoy, --from-prometheus and --cells"
        )
    if source.envoy:
        return asyncio.run(_at_envoy(source.envoy, source.clusters))
    if source.prometheus:
        return asyncio.run(_at_prometheus(source.prometheus, source.job))
    return listed.sighted(source.cells)


def drafted(sighting: Sighting, wishes: Wishes) -> Draft:
    """The first configuration of a fleet: its pages are read, and what they can feed is proposed.

    Raises:
        ConfigError: No cell shows a page, or none tells of its cpu.
    """
    return asyncio.run(_drafted(sighting, wishes))


def write(draft: Draft, out: Path, *, is_forced: bool) -> None:
    """Write the file, and the schema for editors beside it.

    The file is whole or not there; one that is there already is left alone unless forced.

    Raises:
        ConfigError: Something must still be said, the file is there, or it cannot be written.
    """
    unsaid = [g.resource for g in draft.gauges if g.limit is None and g.is_capacity]
    if unsaid:
        raise ConfigError(
            "cpus of one node are not on its page: give --cpus, for example --cpus 2"
        )
    text = template(draft, file=out.name)
    parse(text, name=f"what was found for {out}")
    try:
        _replace(place_of(out), text, is_forced=is_forced)
        _write_schema(out.parent / SCHEMA_FILE)
    except FileExistsError as error:
        raise ConfigError(f"{out}: is there already; --force overwrites it") from error
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror})") from error


async def _at_envoy(admin: str, clusters: Sequence[str]) -> Sighting:
    address = _address(admin)
    async with Asker(timeout_s=ANSWER_S) as asker:
        info, hosts, dump = await asyncio.gather(
            asker.get(address, "/server_info"),
            asker.get(address, "/clusters?format=json"),
            asker.get(address, "/config_dump?include_eds"),
        )
    who = parse_info(_body(info, f"envoy {address}"))
    if who is None:
        raise ConfigError(f"envoy {address}: answers, but is no Envoy admin page; mend the port")
    # Owners may forbid the dump: routes carry secrets now and then.
    how = parse_dump(dump.body) if isinstance(dump, Answer) and dump.is_good else EnvoyDump()
    endpoints = parse_hosts(_body(hosts, f"envoy {address}"))
    return from_envoy.sighted(address, who, endpoints, how, clusters=clusters)


async def _at_prometheus(url: str, job: str) -> Sighting:
    base = url if "://" in url else f"http://{url}"
    async with Asker(timeout_s=ANSWER_S) as asker:
        said = await asker.url(f"{base.rstrip('/')}{TARGETS_PATH}")
    try:
        targets = parse_targets(_body(said, f"prometheus {base}"))
    except SourceError as error:
        raise ConfigError(f"prometheus {base}: {error}") from error
    return from_prometheus.sighted(base, targets, job=job, resolve=from_prometheus.resolved)


async def _drafted(sighting: Sighting, wishes: Wishes) -> Draft:
    nodes = [cell.nodes[0] for cell in sighting.cells][:MOST_PAGES]
    async with Asker(timeout_s=ANSWER_S) as asker:
        path, pages = await _pages(asker, nodes, wishes.metrics_path or sighting.metrics_path)
        health = wishes.health_path or sighting.health_path
        health = health or await _health_path(asker, nodes[0])
    gauges = proposed(list(pages.values()), wishes.limits)
    if not any(gauge.is_capacity for gauge in gauges):
        raise ConfigError(
            f"cells: no metric of cpu time is on {path}; a plan needs one, for example "
            "process_cpu_seconds_total, which every Prometheus client library can show"
        )
    cells = renamed(sighting.cells, {node: _name_on(page) for node, page in pages.items()})
    classes = wishes.classes or sighting.classes or (OTHER_CLASSES,)
    balancers = sighting.balancers
    if wishes.admin or not balancers:
        origin = balancers[0].origin if balancers else cells[0].region
        balancers = (
            BalancerDraft(admin=wishes.admin or f"127.0.0.1:{ADMIN_PORT}", origin=origin),
        )
    rest = [each.name for each in classes if not each.path_prefix and not each.method]
    draft = Draft(
        service=wishes.service or "service",
        found_at=sighting.found_at,
        cells=cells,
        classes=classes,
        default_class=(rest or [classes[-1].name])[0],
        gauges=gauges,
        balancers=balancers,
        health_path=health,
        metrics_path=path,
    )
    listen = wishes.listen or sighting.listen
    return replace(draft, listen=listen) if listen else draft


def _replace(out: Path, text: str, *, is_forced: bool) -> None:
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    scratch = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.chmod(0o644)
        if is_forced:
            scratch.replace(out)
        else:
            # A link fails where a name is taken; renaming would overwrite.
            os.link(scratch, out)
    finally:
        scratch.unlink(missing_ok=True)


def _write_schema(path: Path) -> None:
    """The schema is ours to renew; a file of that name that is something else is not."""
    text = schema_text()
    if path.exists():
        try:
            kept = json.loads(read_bytes(path, most=MOST_OF_A_SCHEMA))
            is_ours = kept["title"] == json.loads(text)["title"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            is_ours = False
        if not is_ours:
            return
    _replace(path, text, is_forced=True)


async def _pages(
    asker: Asker, nodes: Sequence[Node], wanted: str
) -> tuple[str, Mapping[Node, Page]]:
    """The path of the metrics pages, and the pages."""
    said: Answer | Silent | None = None
    for path in (wanted,) if wanted else METRICS_PATHS:
        answers = await asyncio.gather(*(asker.get(_where(node), path) for node in nodes))
        pages = {}
        for node, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, Answer) and answer.is_good and (page := _read(answer)):
                pages[node] = page
        if pages:
            return path, pages
        said = said or answers[0]
    why = said.because if isinstance(said, Silent) else "shows no Prometheus page"
    raise ConfigError(
        f"cells: {_where(nodes[0])} {why}; start the cells, or name the page with --metrics-path "
        f"(tried {wanted or ', '.join(METRICS_PATHS)})"
    )


def _read(answer: Answer) -> Page:
    try:
        return read_page(answer.body)
    except SourceError:
        return {}


async def _health_path(asker: Asker, node: Node) -> str:
    for path in HEALTH_PATHS:
        answer = await asker.get(_where(node), path)
        if isinstance(answer, Answer) and answer.is_good:
            return path
    return ""


def _name_on(page: Page) -> str:
    """What a node calls its cell: the label `cell` of an info metric."""
    for name in sorted(page):
        if name.endswith("_info"):
            for sample in page[name]:
                if cell := sample.labels.get("cell"):
                    return cell
    return ""


def _where(node: Node) -> str:
    return f"{node.host}:{node.port}"


def _body(said: Answer | Silent, who: str) -> str:
    if isinstance(said, Silent):
        raise ConfigError(f"{who}: {said.because}; is it running, and is that its port?")
    if not said.is_good:
        raise ConfigError(f"{who}: answers {said.status}; is that its admin page or API?")
    return said.body


def _address(text: str) -> str:
    """host:port of what people copy from a browser, or type in short."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        address = f"{parts.hostname or '127.0.0.1'}:{parts.port or ADMIN_PORT}"
    except ValueError as error:
        raise ConfigError(f"address {text!r}: {error}; write it like 127.0.0.1:9901") from error
    if re.fullmatch(ADDRESS, address) is None:
        raise ConfigError(f"address {text!r}: {WORDS[ADDRESS]}")
    return address
