"""This module is the past of a Prometheus, or of anything that answers its range queries.

Each gauge is a query; the series in its answer are told apart by one label. A range is asked for
in pieces, as a server gives no more than 11,000 points of a series at once.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import SourceError
from foreshard.ports import Samples, Wanted

__all__ = ["PrometheusArchive", "Span"]

# Prometheus refuses more than 11,000.
MOST_POINTS = 10_000
TIMEOUT_S = 60.0
LARGEST_ANSWER_BYTES = 256 * 1024 * 1024
SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which stretch is asked for.

    Attributes:
        begins_s, ends_s: Seconds since the epoch, rising.
        step_s: Between samples, > 0.
    """

    begins_s: float
    ends_s: float
    step_s: float

    def __post_init__(self) -> None:
        if not (self.step_s > 0.0 and self.begins_s < self.ends_s):
            raise SourceError(
                f"range: from {self.begins_s} to {self.ends_s} in steps of {self.step_s}: must "
                "rise, in steps above 0"
            )

    def pieces(self) -> Iterator[tuple[float, float]]:
        """Begin and end of what is asked for at once; no moment is asked for twice."""
        count = math.floor((self.ends_s - self.begins_s) / self.step_s + 1e-9) + 1
        for first in range(0, count, MOST_POINTS):
            last = min(first + MOST_POINTS, count) - 1
            yield self.begins_s + first * self.step_s, self.begins_s + last * self.step_s


class PrometheusArchive:
    """`Archive` over the HTTP API of a Prometheus."""

    def __init__(self, url: str, span: Span) -> None:
        """Say where and when; nothing is asked before it is read.

        Args:
            url: Such as `http://127.0.0.1:9090`; a path before `/api` is kept.
            span: Which stretch.
        """
        self._url, self._span = url.rstrip("/"), span
        parts = urlsplit(self._url)
        # What proves who we are is not for messages.
        self._shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def read(self, wanted: Wanted) -> Samples:
        """See `Archive.read`; it may not be called from a coroutine."""
        return asyncio.run(self._read(wanted))

    async def _read(self, wanted: Wanted) -> Samples:
        series: dict[str, dict[str, dict[float, float]]] = {}
        groups: dict[str, str] = {}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for name, query in wanted.columns.items():
                told: dict[str, dict[float, float]] = {}
                for begins_s, ends_s in self._span.pieces():
                    answer = await self._ask(session, name, query, begins_s, ends_s)
                    self._take(answer, name, wanted, (told, groups))
                if not told:
                    raise SourceError(
                        f"prometheus {self._shown}: query of {name} ({query}) found no series in "
                        "the range; try it in its own page"
                    )
                series[name] = told
        return _samples(series, groups)

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        name: str,
        query: str,
        begins_s: float,
        ends_s: float,
    ) -> Any:  # noqa: ANN401 - JSON values
        form = {
            "query": query,
            "start": f"{begins_s:.3f}",
            "end": f"{ends_s:.3f}",
            "step": f"{self._span.step_s:.3f}",
        }
        where = f"prometheus {self._shown}: query of {name}"
        try:
            async with session.post(f"{self._url}/api/v1/query_range", data=form) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > LARGEST_ANSWER_BYTES:
                        raise SourceError(
                            f"{where}: answers more than {LARGEST_ANSWER_BYTES} bytes; ask for "
                            "fewer series or a shorter range"
                        )
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            said = f"no answer in {TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else error
            raise SourceError(f"{where}: {said}") from error
        try:
            found = json.loads(body)
        except ValueError as error:
            raise SourceError(
                f"{where}: answers {status} and no JSON: {bytes(body[:SHOWN])!r}; is it a "
                "Prometheus?"
            ) from error
        if not isinstance(found, Mapping) or found.get("status") != "success":
            said = found.get("error", found) if isinstance(found, Mapping) else found
            raise SourceError(f"{where} ({query}): answers {status}: {str(said)[:SHOWN]}")
        return found.get("data")

    def _take(
        self,
        answer: Any,  # noqa: ANN401 - JSON values
        name: str,
        wanted: Wanted,
        into: tuple[dict[str, dict[float, float]], dict[str, str]],
    ) -> None:
        told, groups = into
        where = f"prometheus {self._shown}: query of {name}"
        seen: set[str] = set()
        try:
            for each in answer["result"]:
                labels = each["metric"]
                entity = labels.get(wanted.entity, "")
                if not entity:
                    raise SourceError(
                        f"{where}: a series has no label {wanted.entity!r}, its labels are "
                        f"{labels}; keep the label in the query, or name another"
                    )
                if entity in seen:
                    raise SourceError(
                        f"{where}: two series have {wanted.entity}={entity!r}; add them up, such "
                        f"as `sum by ({wanted.entity}) (...)`"
                    )
                seen.add(entity)
                if wanted.group and labels.get(wanted.group):
                    groups[entity] = labels[wanted.group]
                told.setdefault(entity, {}).update((float(t), float(v)) for t, v in each["values"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceError(f"{where}: answers no matrix ({error!r})") from error


def _samples(
    series: Mapping[str, Mapping[str, Mapping[float, float]]], groups: Mapping[str, str]
) -> Samples:
    """One row for each moment of which any query knew something."""
    entities = sorted({entity for told in series.values() for entity in told})
    places: list[NDArray[np.int32]] = []
    moments: list[NDArray[np.float64]] = []
    columns: dict[str, list[NDArray[np.float64]]] = {name: [] for name in series}
    for place, entity in enumerate(entities):
        at = sorted({t for told in series.values() for t in told.get(entity, {})})
        places.append(np.full(len(at), place, dtype=np.int32))
        moments.append(np.array(at, dtype=np.float64))
        for name, told in series.items():
            values = told.get(entity, {})
            found = np.array([values.get(t, np.nan) for t in at], dtype=np.float64)
            columns[name].append(np.where(np.isfinite(found), found, np.nan))
    return Samples(
        entities=tuple(entities),
        groups=tuple(groups.get(entity, "") for entity in entities),
        entity=np.concatenate(places),
        time_s=np.concatenate(moments),
        columns={name: np.concatenate(parts) for name, parts in columns.items()},
    )
