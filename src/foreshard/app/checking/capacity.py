"""This module is whether the fleet can lose its largest cell, by what the cells declare.

It looks at now; what the next peak brings it cannot know, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foreshard.adapters.inspection.http import Answer
from foreshard.adapters.metrics.gauges import GaugeSpec
from foreshard.app.checking.facts import NodeFacts
from foreshard.app.checking.finding import Finding, Mark, Section, green
from foreshard.app.checking.gauges import GaugeReading, read_gauge

__all__ = ["judge_capacity"]


def judge_capacity(
    nodes: Sequence[NodeFacts], specs: Sequence[GaugeSpec], *, ceiling: float
) -> Iterator[Finding]:
    """For every gauge that is a capacity: use now against what is left without the largest cell.

    Args:
        nodes: What was seen of them.
        specs: The gauges.
        ceiling: Utilisation that the rest must stay under.
    """
    heard = [n for n in nodes if isinstance(n.page, Answer) and n.page.is_good]
    names = list(dict.fromkeys(node.cell for node in nodes))
    if len(names) < 2:
        yield Finding(
            section=Section.CAPACITY,
            mark=Mark.RED,
            says="there is one cell",
            means="there is nowhere to move work to",
            todo="add a cell",
            weight=96,
        )
        return
    for spec in specs:
        if spec.is_capacity:
            readings = [read_gauge(spec, node) for node in heard]
            yield from _after_loss(spec, readings, ceiling=ceiling)


def _after_loss(
    spec: GaugeSpec, readings: Sequence[GaugeReading], *, ceiling: float
) -> Iterator[Finding]:
    known = [r for r in readings if r.limit is not None and r.used is not None]
    offered: dict[str, float] = {}
    for reading in known:
        cell = reading.node.cell
        offered[cell] = offered.get(cell, 0.0) + (reading.limit or 0.0)
    if not offered:
        return
    used = sum(r.used or 0.0 for r in known)
    largest = max(sorted(offered), key=lambda cell: offered[cell])
    rest = sum(offered.values()) - offered[largest]
    after = used / rest if rest > 0.0 else float("inf")
    says = (
        f"{spec.resource}: {used:.3g} of {sum(offered.values()):.3g} in use;"
        f" without {largest} the rest would be at {after:.0%}"
    )
    if after <= ceiling:
        yield green(Section.CAPACITY, f"{says} (now, not at your peak)")
        return
    yield Finding(
        section=Section.CAPACITY,
        mark=Mark.RED if after > 1.0 else Mark.AMBER,
        says=says,
        means=(
            "losing a cell means losing requests, whatever is foreseen"
            if after > 1.0
            else f"over budget.rest_ceiling ({ceiling:.0%}): a cell that is doubted is emptied "
            "only in part, or not at all"
        ),
        todo="add cells or nodes; if the limit is wrong, mend the gauge",
        weight=86 if after > 1.0 else 47,
    )
