"""This module is which gauges the pages of a fleet can feed, and where their limits are.

Three sources, in this order: pairs of metrics of which one is the other's limit (`..._used` and
`..._limit`), whatever they are about; the names that client libraries share; and a person. A limit
is never guessed: one that is too low empties healthy cells, one too high sees no leak.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foreshard.adapters.metrics.exposition import Page, PageSample, parse_page
from foreshard.config.draft import GaugeDraft, MetricDraft

__all__ = ["Limits", "proposed", "read_page"]

NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*", re.MULTILINE)
# Above this a limit is how a kernel or a runtime writes "none".
NO_LIMIT = 2.0**60
MOST_PAIRS = 8
USED = ("used", "in_use", "active", "busy", "open", "current", "allocated", "usage", "acquired")
LIMITS = ("limit", "max", "maximum", "capacity", "size", "total", "config_max")
# What follows the load; everything else is taken to drift by itself.
WITH_LOAD = re.compile(r"conn|thread|pool|queue|worker|request|flight|cpu|socket|session")
CPU_USED = ("process_cpu_seconds_total", "container_cpu_usage_seconds_total")
CPU_LIMITS = ("go_sched_gomaxprocs_threads", "system_cpu_count", "machine_cpu_cores")
MEMORY_USED = (
    "process_resident_memory_bytes",
    "container_memory_working_set_bytes",
    "process_memory_usage_bytes",
)
MEMORY_LIMITS = (
    "container_spec_memory_limit_bytes",
    "process_memory_limit_bytes",
    "go_gc_gomemlimit_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a person said of one node.

    Attributes:
        cpus: That it may use; None = unsaid.
        memory_bytes: At which it is killed; None = unsaid.
    """

    cpus: float | None = None
    memory_bytes: float | None = None


def read_page(text: str) -> Page:
    """Everything on a page.

    Raises:
        SourceError: It is no Prometheus text.
    """
    return parse_page(text, wanted=frozenset(NAME.findall(text)))


def proposed(pages: Sequence[Page], limits: Limits) -> tuple[GaugeDraft, ...]:
    """Gauges that most pages can feed, the capacity first.

    Args:
        pages: Of one node of each cell, at least one.
        limits: What a person said.
    """
    common = _common(pages)
    pairs = list(_pairs(common))
    found = [cpu] if (cpu := _cpu(common, limits)) else []
    memory = _memory(common, limits, pairs)
    found += [memory] if memory else []
    taken = {gauge.resource for gauge in found}
    for pair in pairs:
        if pair.resource not in taken:
            taken.add(pair.resource)
            found.append(pair)
    return tuple(found[: MOST_PAIRS + 2])


def _common(pages: Sequence[Page]) -> Page:
    """What at least half of the pages have: one odd cell must not blind the whole fleet."""
    names = Counter(name for page in pages for name in page)
    return {
        name: next(page[name] for page in pages if name in page)
        for name, count in names.items()
        if 2 * count >= len(pages)
    }


def _cpu(page: Page, limits: Limits) -> GaugeDraft | None:
    counters = [name for name in CPU_USED if name in page]
    counters += sorted(name for name in page if name.endswith("cpu_seconds_total"))
    single = [name for name in counters if len(page[name]) == 1]
    if not single:
        return None
    limit, because = _cpu_limit(page, limits)
    return GaugeDraft(
        resource="cpu",
        used=MetricDraft(name=single[0]),
        limit=limit,
        is_counter=True,
        scales_with_load=True,
        is_capacity=True,
        because=because,
    )


def _cpu_limit(page: Page, limits: Limits) -> tuple[MetricDraft | float | None, str]:
    if limits.cpus is not None:
        return limits.cpus, "cpus of one node, as you said"
    for name in sorted(page):
        if name.rpartition("_")[2] not in LIMITS:
            continue
        for sample in page[name]:
            if "cpu" in sample.labels.values() and _is_limit(sample.value):
                return MetricDraft(name=name, labels=sample.labels), "as the cells say"
    for name in CPU_LIMITS:
        if name in page and len(page[name]) == 1 and _is_limit(page[name][0].value):
            return MetricDraft(name=name), "cpus, as the cells say"
    return None, "cpus of one node"


def _memory(page: Page, limits: Limits, pairs: Sequence[GaugeDraft]) -> GaugeDraft | None:
    used = next((name for name in MEMORY_USED if name in page), "")
    own = next((pair for pair in pairs if pair.resource == "memory"), None)
    if limits.memory_bytes is not None and (used or own):
        metric = MetricDraft(name=used) if used or own is None else own.used
        return GaugeDraft(
            resource="memory",
            used=metric,
            limit=limits.memory_bytes,
            because="bytes at which one node is killed, as you said",
        )
    if own is not None:
        return own
    if not used:
        return None
    known = [n for n in MEMORY_LIMITS if n in page and all(_is_limit(s.value) for s in page[n])]
    return GaugeDraft(
        resource="memory",
        used=MetricDraft(name=used),
        limit=MetricDraft(name=known[0]) if known else None,
        because="as the cells say" if known else "bytes at which one node is killed",
    )


def _pairs(page: Page) -> Iterator[GaugeDraft]:
    """Metrics of which one is the other's limit, by name and labels."""
    for name in sorted(page):
        limit = _limit_of(name, page)
        if not limit:
            continue
        ends = {_key(sample): sample.value for sample in page[limit]}
        samples = page[name]
        for sample in samples:
            end = ends.get(_key(sample))
            if end is None or not _is_limit(end) or not 0.0 <= sample.value <= end:
                continue
            resource = _resource(name, sample, is_single=len(samples) == 1)
            labels = dict(sample.labels) if len(samples) > 1 or len(ends) > 1 else {}
            if resource == "cpu":
                continue
            yield GaugeDraft(
                resource=resource,
                used=MetricDraft(name=name, labels=labels),
                limit=MetricDraft(name=limit, labels=labels),
                scales_with_load=bool(WITH_LOAD.search(resource)),
                because="as the cells say",
            )


def _limit_of(name: str, page: Page) -> str:
    """The metric whose name is the same but for one word; "" = there is none."""
    for used in USED:
        if f"_{used}" not in name:
            continue
        for limit in LIMITS:
            other = name.replace(f"_{used}", f"_{limit}", 1)
            if other in page:
                return other
    return ""


def _resource(name: str, sample: PageSample, *, is_single: bool) -> str:
    """What people call it: the label that names it, or the metric's name without its words."""
    if resource := sample.labels.get("resource"):
        return resource
    words = [w for w in name.split("_") if w not in {*USED, "in", "use", "bytes", "process"}]
    stem = {"fds": "file_descriptors", "filefd": "file_descriptors"}.get(
        words[-1] if words else "", "_".join(words)
    )
    values = [] if is_single else [v for _, v in sorted(sample.labels.items()) if v]
    return " ".join([stem or name, *values])


def _key(sample: PageSample) -> frozenset[tuple[str, str]]:
    return frozenset(sample.labels.items())


def _is_limit(value: float) -> bool:
    return 0.0 < value < NO_LIMIT
