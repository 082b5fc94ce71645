"""Hand-made runs with known answers: three cells, one class of weight 2, a hundred a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import SHOP, CellMake, Family, Load, Offer, Scenario
from foreshard.lab.service import Site, Work
from foreshard.lab.simulation.canonical import text_of
from foreshard.lab.simulation.diary import Risk, Said
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Fate, Ledger
from foreshard.lab.simulation.record import Played, RunRecord
from foreshard.lab.simulation.shares import SharesLog
from foreshard.lab.simulation.world import LifeEvent
from foreshard.lab.trial.score import Score
from foreshard.lab.trial.task import Task

__all__ = ["EVEN", "LEAK", "RATE", "SECONDS", "column", "record", "scenario", "score_of", "task"]

SECONDS, WARM_UP, RATE = 100, 10, 100.0
EVEN = (1 / 3, 1 / 3, 1 / 3, 0.0)
# From 30 s on, until the kill at 60.
LEAK = FaultLine(kind=Kind.LEAK, cells=("b",), at_s=30.0, grows_s=30.0)

CLASS = replace(SHOP[1].request_class, name="search", weight=2.0)


def scenario(
    *faults: FaultLine, family: Family = Family.PREDICTABLE, name: str = "made"
) -> Scenario:
    return Scenario(
        name=name,
        family=family,
        about="Made by hand. Nothing is expected.",
        duration_s=float(SECONDS),
        warm_up_s=float(WARM_UP),
        sites=tuple(Site(name=cell, region="eu", zone=f"eu{cell}") for cell in "abc"),
        make=CellMake(cpus=1, restart_s=5.0),
        offers=(Offer(request_class=CLASS, work=Work(cpu_s=0.01), share=1.0),),
        load=Load(utilisation=RATE * 0.01 / 3.0, swing_ratio=0.0),
        faults=faults,
        default_class="search",
    )


def record(
    of: Scenario,
    *,
    bad: Mapping[int, float] | None = None,
    fate: Fate = Fate.FAILED,
    shares: Sequence[tuple[float, Sequence[float]]] = ((-1.0, EVEN),),
    lives: Sequence[LifeEvent] = (),
    said: Sequence[Said] = (),
    policy: str = "sticky",
    seed: int = 1,
) -> RunRecord:
    """A run in which so many requests were bad in each second, and these shares held since."""
    fates = np.zeros((SECONDS, 1, 1, len(Fate)))
    fates[..., Fate.GOOD] = RATE
    for second, count in (bad or {}).items():
        fates[second, 0, 0, Fate.GOOD] -= count
        fates[second, 0, 0, fate] += count
    log = SharesLog(1, 3, 1)
    for at_s, row in shares:
        log.note(at_s, np.array(row, dtype=np.float64).reshape(1, 1, 4))
    latency = np.zeros((1, len(LATENCY_EDGES_S) - 1))
    latency[0, 30] = 100.0
    served = np.tile(np.array(EVEN[:3]) * RATE, (SECONDS, 1))[..., None]
    return RunRecord(
        played=Played(
            scenario=of.name,
            text=text_of(of),
            seed=seed,
            policy=policy,
            core="requests",
            version="0",
            cells=tuple("abc"),
            origins=of.origins,
            classes=("search",),
        ),
        ledger=Ledger(fates=fates, served=served, latency=latency, crossed=np.zeros(SECONDS)),
        shares=log.shares(),
        said=tuple(said),
        risk=Risk(at_s=np.zeros(0), horizons_s=(), p=np.zeros((0, 3, 0), dtype=np.float32)),
        lives=tuple(lives),
        log=(),
        counts={"decisions": 0},
    )


def score_of(policy: str, bad: float, *, seed: int = 1, **changes: Any) -> Score:  # noqa: ANN401 - fields of a score
    """A score with so much harm among ten thousand weighted requests."""
    fields: dict[str, Any] = {
        "scenario": "made",
        "policy": policy,
        "seed": seed,
        "demand": 10_000.0,
        "bad": bad,
        "error": 0.0,
        "failed": bad,
        "slow": 0.0,
        "shed": 0.0,
        "classes": {},
        "bound": 0.0,
        "mean_ms": 10.0,
        "p50_ms": 10.0,
        "p99_ms": 100.0,
        "crossed_ratio": 0.0,
        "used_ratio": 0.6,
        "busiest_ratio": 0.7,
        "displaced_ratio": 0.0,
        "evacuations": 0,
        "cell_days": 1.0,
        "own_harm": 0.0,
        "courses": (),
        "digest": "",
        "cpu_s": 1.0,
        **changes,
    }
    return Score(**fields)


def task(folder: Path, policy: str = "sticky", seed: int = 1) -> Task:
    return Task(
        scenario="made",
        text="",
        policy=policy,
        seed=seed,
        core="fluid",
        is_calm=False,
        path=folder / f"{policy}-{seed}.npz",
    )


def column(*values: float) -> Floats:
    return np.array(values)
