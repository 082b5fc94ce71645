"""This module is whom a Prometheus scrapes: its active targets, with their labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from foreshard.model.errors import SourceError

__all__ = ["TARGETS_PATH", "Target", "parse_targets"]

TARGETS_PATH = "/api/v1/targets?state=active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One of them.

    Attributes:
        address: `host:port` that is scraped.
        path: Of its metrics page.
        job: Its job.
        is_up: Whether the last scrape went well.
        labels: All that it ends up with, and those of its discovery.
    """

    address: str
    path: str
    job: str
    is_up: bool
    labels: Mapping[str, str]


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read the answer of `TARGETS_PATH`.

    Raises:
        SourceError: It is no answer of a Prometheus.
    """
    try:
        said = json.loads(text)
        found = said["data"]["activeTargets"]
        return tuple(_target(each) for each in found)
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise SourceError(
            f"the answer is no list of targets ({type(error).__name__}: {error}); give the "
            "address of a Prometheus, for example http://127.0.0.1:9090"
        ) from error


def _target(said: Mapping[str, object]) -> Target:
    parts = urlsplit(str(said["scrapeUrl"]))
    port = parts.port or (443 if parts.scheme == "https" else 80)
    labels: dict[str, str] = {}
    for key in ("discoveredLabels", "labels"):
        own = said.get(key)
        if isinstance(own, Mapping):
            labels |= {str(name): str(value) for name, value in own.items()}
    return Target(
        address=f"{parts.hostname}:{port}",
        path=parts.path or "/metrics",
        job=labels.get("job", ""),
        is_up=said.get("health") == "up",
        labels=labels,
    )
