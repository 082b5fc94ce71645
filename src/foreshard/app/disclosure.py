"""This module is what a configuration gives away: as it may be seen, its names, its secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from foreshard.app.masking import LEFT_OUT, LEFT_OUT_WORD, mask, tokens_of
from foreshard.config import Settings
from foreshard.config.document import read_document
from foreshard.config.reading import read_text
from foreshard.config.secrecy import is_secret_name
from foreshard.config.settings import MetricSettings
from foreshard.model.errors import ConfigError

__all__ = ["known_secrets", "names_of", "told"]

# A shorter value is a word that may stand anywhere.
SHORTEST_SECRET = 6


def names_of(settings: Settings) -> frozenset[str]:
    """Names and texts that a configuration gives to what is decided about.

    They look like whatever people like: a class may be called `auth`, a cell `sk-bratislava-1`.
    """
    found = {settings.default_class, *settings.latency_ms, *settings.egress_per_gb}
    for cell in settings.cells:
        found |= {cell.name, cell.region, cell.zone}
    for one in settings.classes:
        found |= {one.name, one.key_header, one.match.method, one.match.path_prefix}
        found |= {one.match.path_template, one.match.grpc_method, one.category or ""}
        found |= {*one.match.headers, *one.match.headers.values(), *one.cells}
        found |= {*one.regions, *one.dependencies, *one.needs, *one.replicas, *one.residency}
    for needs, needed in settings.service_map.items():
        found |= {needs, *needed}
    found |= {balancer.origin for balancer in settings.balancers}
    for gauge in settings.scrape.gauges:
        found |= {gauge.resource, gauge.used.metric}
        found |= {gauge.limit.metric} if isinstance(gauge.limit, MetricSettings) else set()
    return frozenset(found - {""})


def known_secrets(config: Path) -> Mapping[str, str]:
    """What configuration and environment hold as secrets: where it stands, by value.

    Wherever the values stand, also bare in a log, they are left out.
    """
    found: dict[str, str] = {}
    with suppress(ConfigError):
        found = {value: key for key, value in _proofs(_values(config), at=())}
    found |= {os.environ[name]: name for name in os.environ if is_secret_name(name)}
    return {value: key for value, key in found.items() if len(value) >= SHORTEST_SECRET}


def told(config: Path, settings: Settings) -> object:
    """The configuration as it may be seen, from which the same is decided.

    Raises:
        ConfigError: It cannot be read.
    """
    return _in_words(mask(_values(config), names=names_of(settings)))


def _values(config: Path) -> object:
    return read_document(read_text(config), name=config.name).values


def _in_words(value: object) -> object:
    """What was left out in a path must not put a space into it."""
    if isinstance(value, str):
        return value.replace(LEFT_OUT, LEFT_OUT_WORD)
    if isinstance(value, Mapping):
        return {key: _in_words(item) for key, item in value.items()}
    return [_in_words(item) for item in value] if isinstance(value, list) else value


def _proofs(value: object, *, at: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Key and value of what URLs carry to prove who one is; no other setting is a secret."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _proofs(item, at=(*at, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _proofs(item, at=(*at, str(number)))
    elif isinstance(value, str):
        yield from ((".".join(at), each) for each in _parts(value))


def _parts(value: str) -> Iterator[str]:
    _, scheme, rest = value.partition("://")
    authority = rest.split("/", 1)[0]
    if scheme and "@" in authority:
        user, _, password = authority.rpartition("@")[0].partition(":")
        yield from (password or user, authority.rpartition("@")[0])
    if scheme:
        yield from tokens_of(value)
