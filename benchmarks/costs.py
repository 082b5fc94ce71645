"""This module is what the profiler finds out about fleets whose costs are known.

    make bench-profile ARGS="--seeds 1-10"

Each seed draws a fleet: costs, rates, mixes, waves. Beside the profiler, on the same readings:
ordinary least squares over all of them, with one idle use for all cells (over the last minute
where a cost changes), and the same cost for every request. Exit status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.stopwatch import say, took
from numpy.typing import NDArray

from foreshard.lab.agreement import adjusted_rand
from foreshard.lab.pricing import Pricing, Second, seconds
from foreshard.profile.book import read_costs
from foreshard.profile.catalogue import Catalogue, Priced, classify
from foreshard.profile.regression import start_costs
from foreshard.profile.survey import Surveyor
from foreshard.profile.template import Atlas, Sighting, endpoints, take_sightings

__all__ = ["main"]

Array = NDArray[np.float64]

SPAN_S, CHANGE_S, CELLS, CLASSES = 600, 400, 10, 5
# Least squares notices a cost once it is twice what it was in each of some seconds.
WINDOW_S, NOTICED_TIMES, NOTICED_S = 60, 2.0, 5
NEVER_S = float(SPAN_S - CHANGE_S)


@dataclass(frozen=True, slots=True)
class Errors:
    """Median relative error of costs."""

    ours: float
    least_squares: float
    equal: float


def main() -> int:
    """Run all of it and print it as tables."""
    parser = argparse.ArgumentParser(description="What the profiler finds out.")
    parser.add_argument("--seeds", default="1-10", help="first-last")
    first, last = map(int, parser.parse_args().seeds.split("-"))
    seeds = range(first, last + 1)
    missed = [*_costs(seeds), *_changes(seeds), *_collinear(seeds), *_categories(seeds)]
    missed += [*_hidden(seeds), *_speed()]
    for line in missed:
        say(f"MISSED: {line}")
    return 1 if missed else 0


def _fleet(seed: int, *, classes: int = CLASSES, resources: int = 1) -> Pricing:
    rng = np.random.default_rng([seed, 77])
    costs = np.exp(rng.normal(-4.0, 1.0, (classes, resources)))
    # Each takes a part of the work that can be seen: what no gauge shows, nobody can tell.
    part = rng.dirichlet(np.full(classes, 3.0))
    rates = np.clip(3.0 * part / costs.mean(axis=1), 1.0, 300.0)
    return Pricing(costs=costs, cells=CELLS, rate_rps=rates)


def _costs(seeds: range) -> list[str]:
    say("\nMedian error of costs after 10 min of 1 s readings, 10 cells, 5 classes, 5 % noise")
    say(f"{'fleet':<34}{'profiler':>9}{'least sq.':>11}{'equal':>8}{'least sq. / ours':>18}")
    drift = np.linspace(-0.1, 0.2, CLASSES) / SPAN_S
    slow = np.where(np.arange(CELLS) < 5, 1.0, 1.5)
    cases: dict[str, tuple[Callable[[Pricing], Pricing], float]] = {
        "steady": (lambda p: p, 0.10),
        "drift -10 % to +20 % in 10 min": (lambda p: replace(p, drift_per_s=drift), 0.15),
        "idle use as large as the work": (lambda p: replace(p, base_ratio=1.0), 0.10),
        "3 % of readings broken": (lambda p: replace(p, broken_ratio=0.03), 0.10),
        "half of the cells 1.5 x slower": (lambda p: replace(p, hardware=slow), 0.10),
        "use counted half a second late": (lambda p: replace(p, late_ratio=0.5), 0.15),
        "requests that differ much (cv 2)": (lambda p: replace(p, cost_cv=2.0), 0.15),
    }
    missed = []
    for name, (change, target) in cases.items():
        found = [_errors(change(_fleet(seed)), seed) for seed in seeds]
        ours, least, equal = (
            float(np.median([getattr(e, field) for e in found]))
            for field in ("ours", "least_squares", "equal")
        )
        say(f"{name:<34}{ours:>9.1%}{least:>11.1%}{equal:>8.0%}{least / ours:>17.1f}x")
        if ours > target:
            missed.append(f"{name}: {ours:.1%}, target {target:.0%}")
    return missed


def _errors(pricing: Pricing, seed: int) -> Errors:
    sort = np.unique(pricing.hardware, return_inverse=True)[1] if pricing.hardware.size else None
    state = start_costs(cells=CELLS, classes=len(pricing.costs), resources=1, hardware=sort)
    seen = list(seconds(pricing, seed=seed, span_s=SPAN_S))
    for second in seen:
        state, _ = read_costs(state, second.rates, second.used, dt_s=1.0)
    # A cost is that of a request on the mean hardware, whoever tells it.
    size = float(pricing.hardware.mean()) if pricing.hardware.size else 1.0
    ours = state.costs[:, 0] * float(state.scale[state.hardware, 0].mean())
    truth = size * pricing.at(SPAN_S)[:, 0]
    rates, used = _stacked(seen)
    equal = np.full(truth.size, used.sum() / rates.sum())
    return Errors(*(_error(c, truth) for c in (ours, _least_squares(seen), equal)))


def _error(costs: Array, truth: Array) -> float:
    return float(np.median(np.abs(costs / truth - 1.0)))


def _stacked(seen: list[Second]) -> tuple[Array, Array]:
    return np.concatenate([s.rates for s in seen]), np.concatenate([s.used for s in seen])


def _least_squares(seen: list[Second]) -> Array:
    rates, used = _stacked(seen)
    found = np.linalg.lstsq(np.column_stack([rates, np.ones(len(rates))]), used[:, 0])[0]
    return np.asarray(found[:-1])


def _changes(seeds: range) -> list[str]:
    say("\nSeconds until a cost that triples is noticed; false notices in the 400 s before")
    ours, least, false, named = [], [], [0, 0], 0
    for seed in seeds:
        k = seed % CLASSES
        pricing = replace(_fleet(seed), changes={k: (float(CHANGE_S), 3.0)})
        state = start_costs(cells=CELLS, classes=CLASSES, resources=1)
        seen, at_s, calm, row, noticed = list[Second](), NEVER_S, np.zeros(0), 0, NEVER_S
        for second in seconds(pricing, seed=seed, span_s=SPAN_S):
            seen.append(second)
            state, found = read_costs(state, second.rates, second.used, dt_s=1.0)
            for shift in found:
                if second.t_s < CHANGE_S:
                    false[0] += 1
                elif at_s == NEVER_S:
                    at_s, named = second.t_s - CHANGE_S, named + (shift.k == k)
            if second.t_s < CHANGE_S - 2 * WINDOW_S or second.t_s % 2:
                continue
            costs = _least_squares(seen[-WINDOW_S:])
            calm = costs if not calm.size else calm
            row = row + 2 if (costs > NOTICED_TIMES * np.maximum(calm, 1e-9)).any() else 0
            if row >= NOTICED_S and second.t_s < CHANGE_S:
                false[1], row = false[1] + 1, 0
            elif row >= NOTICED_S and noticed == NEVER_S:
                noticed = second.t_s - CHANGE_S
        ours.append(at_s)
        least.append(noticed)
    for name, found_s, wrong in (("profiler", ours, false[0]), ("least squares", least, false[1])):
        say(
            f"{name:<16} median {np.median(found_s):.0f} s, slowest {max(found_s):.0f} s, "
            f"within 2 min {np.mean(np.array(found_s) <= 120.0):.0%}, false {wrong}"
        )
    say(f"{'':<16} the right class named: {named} of {len(ours)}")
    within = float(np.mean(np.array(ours) <= 120.0))
    return [f"a tripled cost noticed in 2 min: {within:.0%}"] if within < 0.9 else []


def _collinear(seeds: range) -> list[str]:
    say("\nTwo classes whose rates move together")
    named, errors, invented = 0, [], 0
    names = tuple(f"c{k}" for k in range(CLASSES))
    for seed in seeds:
        pair = (seed % CLASSES, (seed + 2) % CLASSES)
        pricing = replace(_fleet(seed), together=(pair,))
        surveyor = Surveyor(names, ("cpu",), cells=CELLS)
        survey = surveyor.begin()
        for second in seconds(pricing, seed=seed, span_s=SPAN_S):
            survey, _ = surveyor.read(survey, second.rates, second.used, at_s=second.t_s, dt_s=1.0)
        profile = surveyor.profile(survey, at_s=SPAN_S)
        wanted = tuple(sorted(names[k] for k in pair))
        groups = {j.request_classes: j.cost.per_request for j in profile.joint}
        named += wanted in groups
        invented += any(profile.classes[n].costs["cpu"].is_known for n in wanted)
        rates = pricing.rate_rps[list(pair)]
        joint = float(rates @ pricing.costs[list(pair), 0] / rates.sum())
        errors.append(abs(groups.get(wanted, 0.0) / joint - 1.0))
    say(
        f"named {named} of {len(errors)}, joint cost off by {np.median(errors):.1%} (median), "
        f"a cost of one of them invented in {invented}"
    )
    return [f"collinear classes named: {named} of {len(errors)}"] if named < len(errors) else []


def _categories(seeds: range) -> list[str]:
    say("\nCategories of 12 classes (2 resources): adjusted Rand index, and number found / true")
    scores: dict[str, list[float]] = {"profiler": [], "least squares": [], "equal": []}
    counts = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 5])
        sorts = int(rng.integers(2, 5))
        # Any two differ five times and more in some resource.
        centre = np.array([[0.004, 0.004], [0.04, 0.004], [0.004, 0.04], [0.05, 0.06]])[:sorts]
        truth = np.concatenate([np.arange(sorts), rng.integers(0, sorts, 12 - sorts)])
        costs = centre[truth] * rng.lognormal(0.0, 0.15, (12, 2))
        rates = np.clip(0.3 / costs.mean(axis=1), 2.0, 60.0)
        pricing = Pricing(costs=costs, cells=CELLS, rate_rps=rates)
        surveyor = Surveyor(tuple(f"c{k}" for k in range(12)), ("cpu", "memory"), cells=CELLS)
        survey, seen = surveyor.begin(), []
        for second in seconds(pricing, seed=seed, span_s=SPAN_S):
            seen.append(second)
            survey, _ = surveyor.read(survey, second.rates, second.used, at_s=second.t_s, dt_s=1.0)
            survey, _ = surveyor.classify(survey, at_s=second.t_s, capacity=np.array([4.0, 4.0]))
        of_class = survey.catalogue.of_class
        ours = [of_class.get(name, name) for name in surveyor.classes]
        rates_, used = _stacked(seen)
        least = np.linalg.lstsq(np.column_stack([rates_, np.ones(len(rates_))]), used)[0][:-1]
        priced = Priced(
            names=surveyor.classes,
            resources=("cpu", "memory"),
            cost=np.maximum(least, 1e-9),
            error=np.zeros((12, 2)),
            capacity=np.array([4.0, 4.0]),
        )
        other = classify(Catalogue(), priced, at_s=0.0)[0].of_class
        scores["profiler"].append(adjusted_rand(ours, truth.tolist()))
        scores["least squares"].append(
            adjusted_rand([other[n] for n in surveyor.classes], truth.tolist())
        )
        scores["equal"].append(adjusted_rand([0] * 12, truth.tolist()))
        counts.append(f"{len(set(ours))}/{sorts}")
    for name, found in scores.items():
        say(f"{name:<16} mean {np.mean(found):.2f}, worst {min(found):.2f}")
    say(f"{'':<16} {', '.join(counts)}")
    mean = float(np.mean(scores["profiler"]))
    return [f"adjusted Rand index {mean:.2f}, target 0.9"] if mean < 0.9 else []


def _hidden(seeds: range) -> list[str]:
    say("\nA heavy endpoint (25 x, 2 requests/s) inside the default class, found by its paths")
    found_s, errors = [], []
    for seed in seeds:
        costs = np.array([[0.01], [0.02], [0.008], [0.2]])
        pricing = Pricing(costs=costs, cells=CELLS, rate_rps=np.array([30.0, 15.0, 40.0, 2.0]))
        rng = np.random.default_rng(seed)
        atlas, at_s = Atlas(), NEVER_S
        state = start_costs(cells=CELLS, classes=4, resources=1)
        for second in seconds(pricing, seed=seed, span_s=SPAN_S):
            mixed = [f"/item/{rng.integers(1, 9999)}" for _ in range(20)]
            heavy = [f"/export/{rng.integers(1, 999)}/pdf" for _ in range(2)]
            sightings = [Sighting(method="GET", path=p) for p in (*mixed, *heavy)]
            atlas = take_sightings(atlas, sightings, now_s=second.t_s)
            known = {e.template for e in endpoints(atlas, now_s=second.t_s)}
            if at_s == NEVER_S and "/export/{id}/pdf" in known:
                at_s = second.t_s
            if at_s == NEVER_S:
                continue
            state, _ = read_costs(state, second.rates, second.used, dt_s=1.0)
        found_s.append(at_s)
        errors.append(abs(float(state.costs[3, 0]) / 0.2 - 1.0))
    say(
        f"a class of its own after {np.median(found_s):.0f} s, its cost off by "
        f"{np.median(errors):.1%} (median) at 10 min; inside the default class it is off by "
        f"{1 - (40 * 0.008 + 2 * 0.2) / 42 / 0.2:.0%}"
    )
    return ["a hidden endpoint takes more than 2 min"] if max(found_s) > 120.0 else []


def _speed() -> list[str]:
    say("\nOne update, one core")
    rng = np.random.default_rng(1)
    missed = []
    for cells, classes, resources in ((100, 20, 3), (1_000, 50, 3), (10_000, 50, 3)):
        state = start_costs(cells=cells, classes=classes, resources=resources)
        rates = rng.poisson(20.0, (cells, classes)).astype(np.float64)
        used = rates @ rng.uniform(0.005, 0.02, (classes, resources)) + 1.0
        for _ in range(3):
            state, _ = read_costs(state, rates, used * rng.normal(1, 0.05, used.shape), dt_s=1.0)
        cpu_s, wall_s = took(lambda s=state, r=rates, u=used: read_costs(s, r, u, dt_s=1.0), 5)
        say(
            f"{cells:>6} cells x {classes} classes x {resources} resources: "
            f"{1e3 * cpu_s:.1f} ms of cpu, {1e3 * wall_s:.1f} ms"
        )
        if cpu_s > 0.1:
            missed.append(f"{cells} x {classes}: {1e3 * cpu_s:.0f} ms, target 100")
    return missed


if __name__ == "__main__":
    sys.exit(main())
