"""This module is what a bundle is made of: every part by name, and how it is had.

A part that cannot be had raises `MissingError` with the reason; the others do not care.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import aiohttp
import yaml

from foreshard import __version__
from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.store.exact import reworded
from foreshard.adapters.store.reading import SqliteReader
from foreshard.adapters.store.turns import SUFFIX, lines_of
from foreshard.app.disclosure import names_of, told
from foreshard.app.masking import mask, mask_lines
from foreshard.app.places import state_dir, turns_dir
from foreshard.config import Settings
from foreshard.model.errors import ConfigError, SinkError, StoreError

__all__ = ["MissingError", "Part", "decisions", "parts", "turns"]

Part = Callable[[], Awaitable[bytes]]

MOST_OF_A_FILE = 4 * 1024 * 1024
MOST_OF_AN_ANSWER = 4 * MOST_OF_A_FILE
ENVOY_TIMEOUT_S = 5.0
# What Envoy tells of us, by path of its admin page.
ENVOY_PATHS = {
    "server_info.json": "/server_info",
    "clusters.json": "/clusters?format=json",
    "config_dump.json": "/config_dump",
    "stats.txt": "/stats?filter=^(foreshard|cluster|http[.]edge|control_plane|server)[.]",
}
STATE_FILES = ("committed.json", "committed.previous.json", "frozen.json")
LOGS = ("serve.log", "engine.log", "serve.log.1", "engine.log.1")


class MissingError(Exception):
    """A part cannot be had; the message says why."""


def parts(config: Path, settings: Settings) -> Mapping[str, Part]:
    """Every part of a bundle but the decisions, by its name in the bundle."""
    data_dir = settings.data_dir
    names = names_of(settings)
    found: dict[str, Part] = {
        "config.yaml": _sync(partial(_config, config, settings)),
        "versions.json": _sync(lambda: _json(_versions())),
        "environment.json": _sync(lambda: _json(_environment(data_dir))),
        "serve/status.json": partial(_served, data_dir, "status", names),
        "serve/load.json": partial(_served, data_dir, "load", names),
    }
    for name in STATE_FILES:
        found[f"state/{name}"] = _sync(partial(_json_file, data_dir / name, names))
    for key in ("status", "memory"):
        found[f"state/{key}.json"] = _sync(partial(_kept, settings, key, names))
    for name in LOGS:
        found[f"logs/{name}"] = _sync(partial(_tail, data_dir / "logs" / name))
    if settings.events_file is not None:
        events = settings.events_file
        found[f"events{events.suffix}"] = _sync(partial(_tail, events))
    for index, balancer in enumerate(settings.balancers):
        for name, path in ENVOY_PATHS.items():
            url = f"http://{balancer.admin}{path}"
            found[f"envoy/{index}-{balancer.origin}/{name}"] = partial(_asked, url)
    return found


def decisions(settings: Settings) -> Iterator[bytes]:
    """Kept decisions with what they saw, newest first, one JSON line each.

    Raises:
        MissingError: There are none, or they cannot be read.
    """
    names = names_of(settings)
    try:
        with SqliteReader(state_dir(settings)) as reader:
            for record in reader.recent():
                yield json.dumps(mask(record, names=names), separators=(",", ":")).encode() + b"\n"
    except StoreError as error:
        raise MissingError(str(error)) from error


def turns(settings: Settings, change: Callable[[str], str]) -> Iterator[tuple[str, bytes]]:
    """Segments of turns by file name, newest first.

    Args:
        settings: Say where they are.
        change: Takes secrets out of the texts for people; in what is decided by there is none.

    Raises:
        MissingError: There are none.
    """
    segments = sorted(turns_dir(settings).glob(f"*{SUFFIX}"), reverse=True)
    if not segments:
        raise MissingError(f"{turns_dir(settings)} holds no turns of an engine")
    for path in segments:
        try:
            lines = [reworded(line, change) for line in lines_of(path.read_bytes())]
        except OSError:
            # It made room for a newer one while we read.
            continue
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        yield path.name, text.encode()


def _sync(work: Callable[[], bytes]) -> Part:
    async def part() -> bytes:
        return work()

    return part


def _json(value: object, names: AbstractSet[str] = frozenset()) -> bytes:
    return json.dumps(mask(value, names=names), indent=1, default=str).encode()


def _config(config: Path, settings: Settings) -> bytes:
    try:
        values = told(config, settings)
    except ConfigError as error:
        raise MissingError(str(error)) from error
    # Written anew: a comment may hold a secret that looks like none.
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode()


def _versions() -> Mapping[str, object]:
    return {
        "foreshard": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "packages": {d.name: d.version for d in sorted(distributions(), key=lambda d: d.name)},
    }


def _environment(data_dir: Path) -> Mapping[str, object]:
    """Names of variables, never what they hold; room; what lies in the data directory."""
    usage = shutil.disk_usage(data_dir if data_dir.exists() else Path.cwd())
    files = sorted(data_dir.rglob("*"))[:1000] if data_dir.exists() else []
    listing = {}
    for path in files:
        with suppress(OSError):
            stat = path.lstat()
            listing[str(path.relative_to(data_dir))] = [stat.st_size, round(stat.st_mtime, 3)]
    return {
        "variables": sorted(os.environ),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "disk_free_bytes": usage.free,
        "data_dir_size_and_time": listing,
    }


def _bytes(text: str) -> bytes:
    """Half a character, which JSON may hold and UTF-8 may not, is written as JSON writes it."""
    return text.encode(errors="backslashreplace")


def _json_file(path: Path, names: AbstractSet[str]) -> bytes:
    text = _tail(path)
    try:
        return _json(json.loads(text), names)
    except ValueError:
        # Damaged: that is what is to be looked at.
        return text


def _tail(path: Path) -> bytes:
    """The end of a text file, without secrets."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_OF_A_FILE))
            content = file.read(MOST_OF_A_FILE)
    except OSError as error:
        raise MissingError(str(error)) from error
    if size > MOST_OF_A_FILE:
        # The first line is cut, and a cut secret is not known by its look.
        content = content.partition(b"\n")[2]
    return _bytes(mask_lines(content.decode(errors="replace")))


def _kept(settings: Settings, key: str, names: AbstractSet[str]) -> bytes:
    try:
        with SqliteReader(state_dir(settings)) as reader:
            value = reader.get(key)
    except StoreError as error:
        raise MissingError(str(error)) from error
    if value is None:
        raise MissingError(f"the store keeps no {key}")
    return _json(value, names)


async def _served(data_dir: Path, what: str, names: AbstractSet[str]) -> bytes:
    try:
        async with ServeSink(data_dir, timeout_s=ENVOY_TIMEOUT_S) as sink:
            answer = await (sink.status() if what == "status" else sink.load())
            return _json(answer, names)
    except SinkError as error:
        raise MissingError(str(error)) from error


async def _asked(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=ENVOY_TIMEOUT_S)
    content = bytearray()
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            async for chunk in answer.content.iter_chunked(65_536):
                content += chunk
                if len(content) > MOST_OF_AN_ANSWER:
                    break
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise MissingError(f"{url}: {type(error).__name__}: {error}") from error
    if answer.status != 200:
        raise MissingError(f"{url}: status {answer.status}")
    try:
        return _json(json.loads(content))
    except ValueError:
        # No JSON, or cut.
        return _bytes(mask_lines(content.decode(errors="replace")))
