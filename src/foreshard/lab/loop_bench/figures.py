"""This module is what the loop bench found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Done", "Figures", "figures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done in the measured turns: a loop that does nothing is quick.

    Attributes:
        pages: Of cells, read.
        reports: Of proxies, read.
        plans: Applied.
        resources: Sent to proxies.
        sent_mb: Encoded for them.
        synced: Proxies that hold what is live, at the end.
    """

    pages: int
    reports: int
    plans: int
    resources: int
    sent_mb: float
    synced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Milliseconds of cpu time of one core.

    Attributes:
        cells: As asked for.
        classes: The same.
        regions: The same.
        proxies: The same.
        seed: Of everything that was drawn.
        turns: That were measured.
        tick_ms_p50: A turn, in the middle.
        tick_ms_p99: All but one in a hundred turns take at most so long.
        stages_ms: The mean by stage; they sum to the mean turn.
        stages_ms_p99: By stage.
        rss_mb: Of the process at its largest, the bench itself included.
        done: See there.
    """

    cells: int
    classes: int
    regions: int
    proxies: int
    seed: int
    turns: int
    tick_ms_p50: float
    tick_ms_p99: float
    stages_ms: Mapping[str, float]
    stages_ms_p99: Mapping[str, float]
    rss_mb: float
    done: Done


def figures(
    turns: Sequence[Mapping[str, float]], *, sizes: Mapping[str, int], rss_mb: float, done: Done
) -> Figures:
    """The figures of some turns, each in milliseconds by stage."""
    whole = [sum(turn.values()) for turn in turns]
    stages = sorted({stage for turn in turns for stage in turn})
    by_stage = {s: [turn.get(s, 0.0) for turn in turns] for s in stages}
    return Figures(
        cells=sizes["cells"],
        classes=sizes["classes"],
        regions=sizes["regions"],
        proxies=sizes["proxies"],
        seed=sizes["seed"],
        turns=len(turns),
        tick_ms_p50=_round(np.percentile(whole, 50)),
        tick_ms_p99=_round(np.percentile(whole, 99)),
        stages_ms={s: _round(np.mean(found)) for s, found in by_stage.items()},
        stages_ms_p99={s: _round(np.percentile(found, 99)) for s, found in by_stage.items()},
        rss_mb=round(rss_mb, 1),
        done=done,
    )


def _round(ms: float | np.floating) -> float:
    return round(float(ms), 3)
