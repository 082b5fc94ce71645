"""This module is what is made of the gauges: found, sane, moving, and what no gauge watches.

They are read with the very code that the engine reads them with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from foreshard.adapters.inspection.http import Answer
from foreshard.adapters.metrics.exposition import Page, parse_page
from foreshard.adapters.metrics.gauges import GaugeSpec, MetricRef
from foreshard.app.checking.facts import NodeFacts
from foreshard.app.checking.finding import Finding, Mark, Section, green, told
from foreshard.model.errors import SourceError

__all__ = ["GaugeReading", "judge_gauges", "read_gauge"]

# A limit above this is how a kernel or a runtime writes "none" (2**63, or a page less).
NO_LIMIT = 2.0**60
# So many requests must cost a cell at least one tick of its cpu counter (10 ms).
TELLING_REQUESTS = 20
NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugeReading:
    """One gauge at one node.

    Attributes:
        node: Where.
        missing: Metrics that the page does not have.
        wrong: What is wrong with the page; "" = nothing.
        used: In use; the rate a second for a counter; None = unknown.
        limit: Where it is exhausted; None = unknown.
    """

    node: NodeFacts
    missing: tuple[MetricRef, ...] = ()
    wrong: str = ""
    used: float | None = None
    limit: float | None = None


def judge_gauges(nodes: Sequence[NodeFacts], specs: Sequence[GaugeSpec]) -> Iterator[Finding]:
    """Every gauge at every node that showed a page, then what no gauge watches."""
    heard = [n for n in nodes if isinstance(n.page, Answer) and n.page.is_good]
    for spec in specs if heard else ():
        readings = [read_gauge(spec, node) for node in heard]
        bad = [*_missing(spec, readings), *_wrong(spec, readings), *_still(spec, readings)]
        yield from bad
        good = [r for r in readings if not r.missing and not r.wrong]
        if good and not any(finding.mark is Mark.RED for finding in bad):
            yield green(Section.GAUGES, _summary(spec, good, len(readings)))
    yield from _blind(specs)


def read_gauge(spec: GaugeSpec, node: NodeFacts) -> GaugeReading:
    """One gauge at one node, from its page or pages."""
    try:
        page = _page(node.page, spec)
        used, limit = spec.used.read(page), spec.read_limit(page)
        if spec.is_counter:
            used = _rate(spec, node, used)
    except SourceError as error:
        return GaugeReading(node=node, wrong=str(error))
    missing = [spec.used] if spec.used.read(page) is None else []
    if limit is None and isinstance(spec.limit, MetricRef):
        missing.append(spec.limit)
    return GaugeReading(node=node, missing=tuple(missing), used=used, limit=limit)


def _missing(spec: GaugeSpec, readings: Sequence[GaugeReading]) -> Iterator[Finding]:
    for metric in dict.fromkeys(str(m) for r in readings for m in r.missing):
        where = [r for r in readings if metric in map(str, r.missing)]
        is_everywhere = len(where) == len(readings)
        name = metric.partition("{")[0]
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.RED if is_everywhere or spec.is_capacity else Mark.AMBER,
            says=f"gauge {spec.resource}: {'no page has' if is_everywhere else 'missing'} {metric}"
            + ("" if is_everywhere else f" at {told(r.node.cell for r in where)}"),
            means=(
                "no plan can be made without the capacity of the cells"
                if spec.is_capacity
                else f"{spec.resource} running out is not foreseen"
                + ("" if is_everywhere else " in these cells")
            ),
            todo=_suggestion(name, where[0].node, is_name_there=_has(name, where[0].node)),
            weight=88 if spec.is_capacity else 60,
        )


def _wrong(spec: GaugeSpec, readings: Sequence[GaugeReading]) -> Iterator[Finding]:
    for wrong in dict.fromkeys(r.wrong for r in readings if r.wrong):
        where = [r.node.cell for r in readings if r.wrong == wrong]
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.RED,
            says=f"gauge {spec.resource}: {wrong}, at {told(where)}",
            means="an endpoint that lies about one gauge is not believed about the others",
            todo="mend what the cell says, or name another metric",
            weight=70,
        )
    for unlimited in [r for r in readings if r.limit is not None and r.limit >= NO_LIMIT][:1]:
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.RED,
            says=f"gauge {spec.resource}: limit is {unlimited.limit:.3g}, which means none",
            means=f"{spec.resource} never looks nearly exhausted, so it is not foreseen",
            todo="give the true limit of a node as a number",
            weight=60,
        )
    over = [r for r in readings if r.used is not None and r.limit and r.used > r.limit]
    if over:
        first = over[0]
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.RED,
            says=f"gauge {spec.resource}: {first.used:.4g} used of {first.limit:.4g} at "
            f"{told(r.node.cell for r in over)}",
            means="these cells count as exhausted, and would be emptied",
            todo="are both in one unit, and is the limit that of one node?",
            weight=87,
        )


def _still(spec: GaugeSpec, readings: Sequence[GaugeReading]) -> Iterator[Finding]:
    """A counter that does not move while requests are served is a lie, or a cached page."""
    if not spec.is_counter:
        return
    still = [r for r in readings if r.used == 0.0]
    lying = [r for r in still if (r.node.requests or 0) >= TELLING_REQUESTS]
    idle = [r for r in still if r not in lying]
    if lying:
        requests = sum(r.node.requests or 0 for r in lying)
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.RED,
            says=f"gauge {spec.resource}: {spec.used} stood still for "
            f"{lying[0].node.gap_s:.1f} s while {requests} requests were sent to "
            f"{told(r.node.cell for r in lying)}",
            means="the page is frozen or false: what these cells say is worth nothing",
            todo="ask the node itself; is there a cache, or an exporter that hangs, in between?",
            weight=89,
        )
    if idle:
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.AMBER,
            says=f"gauge {spec.resource}: {spec.used} stood still for {idle[0].node.gap_s:.1f} s "
            f"at {told((r.node.cell for r in idle), of=readings)}",
            means="an idle cell looks like that, and so does a frozen page",
            todo="check again while requests are served",
            weight=20,
        )


def _blind(specs: Sequence[GaugeSpec]) -> Iterator[Finding]:
    standing = [spec.resource for spec in specs if not spec.scales_with_load]
    if not standing:
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.RED,
            says="every gauge follows the load, none stands by itself",
            means="no leak and no filling disk is ever foreseen: only overload is",
            todo="add a gauge of memory, disk or file descriptors with `scales_with_load: false`",
            weight=65,
        )
    elif not any("mem" in name or "heap" in name for name in standing):
        yield Finding(
            section=Section.GAUGES,
            mark=Mark.AMBER,
            says="no gauge of memory",
            means="a memory leak, the commonest slow death, is not foreseen",
            todo="add one to scrape.gauges: process_resident_memory_bytes with its limit in bytes",
            weight=50,
        )
    else:
        yield green(Section.GAUGES, f"what drifts by itself is watched: {', '.join(standing)}")


def _summary(spec: GaugeSpec, good: Sequence[GaugeReading], count: int) -> str:
    says = f"gauge {spec.resource}: {spec.used} found at {len(good)} of {count} nodes"
    ratios = [r.used / r.limit for r in good if r.used is not None and r.limit]
    if ratios:
        low, high = f"{min(ratios):.0%}", f"{max(ratios):.0%}"
        says += f", {low if low == high else f'{low} to {high}'} of the limit in use"
    return says


def _page(answer: object, spec: GaugeSpec) -> Page:
    text = answer.body if isinstance(answer, Answer) and answer.is_good else ""
    return parse_page(text, wanted=spec.metric_names)


def _rate(spec: GaugeSpec, node: NodeFacts, before: float | None) -> float | None:
    if before is None or not isinstance(node.again, Answer) or not node.gap_s > 0.0:
        return None
    after = spec.used.read(_page(node.again, spec))
    # A counter that fell is a restart in between.
    return None if after is None or after < before else (after - before) / node.gap_s


def _has(name: str, node: NodeFacts) -> bool:
    return isinstance(node.page, Answer) and name in set(NAME.findall(node.page.body))


def _suggestion(name: str, node: NodeFacts, *, is_name_there: bool) -> str:
    if is_name_there:
        return f"{name} is on the page, but not with these labels: see {node.address}"
    there = sorted(set(NAME.findall(node.page.body))) if isinstance(node.page, Answer) else []
    near = get_close_matches(name, there, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"name one that is there ({len(there)} are): see the page of {node.address}"
