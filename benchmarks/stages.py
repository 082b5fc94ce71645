"""This module is both stages side by side: what was measured, what is live, what is simulated.

Live runs are kept, so that none is played twice for the same commit.

    make bench-stages ARGS="--scenarios measured-leak --policies outlier sticky --seeds 1-2"
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from foreshard.app.lab.real import live_runs
from foreshard.app.trying import foreshard
from foreshard.config.scenario import load_scenario
from foreshard.lab.policy.policy import Policy
from foreshard.lab.policy.registry import policy
from foreshard.lab.run import Core, run
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.simulation.requests.core import RequestPlant

RUNS = Path("build/stages")
CORE = Core(name="requests", plant=lambda scenario, seed: RequestPlant(scenario, seed=seed))
LIVE = ("live-leak", "live-slow-dependency", "live-creep")
# Weighted bad requests of two seeds, from before there was any of this: another Envoy's settings
# and cells like ours, 48 s. Where only one was told, it stands alone.
MEASURED: Mapping[str, Mapping[str, Sequence[float]]] = {
    "measured-leak": {"outlier": (69, 104), "sticky": (1_790, 1_931)},
    "measured-creep": {"outlier": (340, 467), "sticky": (3_974, 3_431)},
    "measured-brown-out": {"outlier": (2_171, 2_101), "sticky": (5_446, 5_296)},
    "measured-slow-dependency": {"outlier": (3_321, 3_910), "sticky": (7_659, 8_529)},
    "measured-surge": {"outlier": (30_300, 33_100), "sticky": (9_500,)},
    "measured-zone": {"outlier": (46_800, 50_200), "sticky": (45_600, 50_600)},
}
# From here on (p99) a late load generator is part of what is measured.
MOST_LATE_S = 0.02


def harm(record: RunRecord, scenario: Scenario) -> float:
    """Weighted bad requests after the warm-up."""
    bad = record.ledger.fates[int(scenario.warm_up_s) :, ..., Fate.FAILED :].sum(axis=(0, 1, 3))
    return float(bad @ np.array([each.weight for each in scenario.classes]))


def live(
    scenario: Scenario, policies: Sequence[str], seed: int, side_by_side: int
) -> Iterator[RunRecord]:
    """Records of the live stage; what was played before is read."""
    folder = RUNS / _commit()
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{scenario.name}-{name}-{seed}.npz" for name in policies}
    missing = [name for name, path in paths.items() if not path.exists()]
    for record in live_runs(scenario, missing, [seed], side_by_side=side_by_side):
        record.save(paths[record.played.policy])
    for name in policies:
        yield RunRecord.load(paths[name])


def simulated(scenario: Scenario, name: str, seed: int) -> RunRecord:
    """The same on virtual time."""
    return run(scenario, _policy(name), seed=seed, core=CORE, is_told=name == "oracle")


def _policy(name: str) -> Policy:
    own, _, forecast = name.partition("-")
    return (
        (foreshard(forecast) if forecast else foreshard()) if own == "foreshard" else policy(name)
    )


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unversioned"


def _table(scenario: Scenario, policies: Sequence[str], seeds: range, side_by_side: int) -> None:
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in policies}
    late = 0
    for seed in seeds:
        for record in live(scenario, policies, seed, side_by_side):
            found[record.played.policy][0].append(harm(record, scenario))
            late += record.cost_s["late_p99"] > MOST_LATE_S
        for name in policies:
            found[name][1].append(harm(simulated(scenario, name, seed), scenario))
    measured = MEASURED.get(scenario.name, {})
    for name, (real, virtual) in found.items():
        ratio = np.mean(virtual) / np.mean(real) if np.mean(real) > 0.0 else float("nan")
        sys.stdout.write(
            f"| {scenario.name} | {name} | {_amounts(measured.get(name, ()))} | {_amounts(real)} "
            f"| {_amounts(virtual)} | {ratio:.2f} |\n"
        )
        sys.stdout.flush()
    for stage, place in (("live", 0), ("sim", 1)):
        mean = {name: float(np.mean(both[place])) for name, both in found.items()}
        if {"sticky", "foreshard", "oracle"} <= set(mean) and mean["sticky"] > mean["oracle"]:
            share = (mean["sticky"] - mean["foreshard"]) / (mean["sticky"] - mean["oracle"])
            sys.stderr.write(f"{scenario.name}, {stage}: averted {share:.2f}\n")
    if late:
        sys.stderr.write(f"{scenario.name}: the load generator was late in {late} live runs\n")


def _amounts(values: Sequence[float]) -> str:
    return " / ".join(f"{value:,.0f}" for value in values)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description="Both stages, side by side.")
    parser.add_argument("--scenarios", nargs="+", default=[*MEASURED, *LIVE])
    parser.add_argument("--policies", nargs="+", default=[])
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--side-by-side", type=int, default=2)
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    sys.stdout.write(
        "| scenario | policy | measured before | live | simulated | simulated / live |\n"
        "|---|---|---|---|---|---|\n"
    )
    for name in options.scenarios:
        usual = ["outlier", "sticky"]
        if name in LIVE:
            usual += ["foreshard", "oracle"]
        _table(
            load_scenario(name),
            options.policies or usual,
            range(int(first), int(last or first) + 1),
            options.side_by_side,
        )


if __name__ == "__main__":
    main()
