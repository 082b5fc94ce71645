"""This module is what the trained trees cost: one refresh of a large fleet, and a fit.

    make bench-hazard ARGS="--cells 10000 --gauges 12"

A fleet whose memory is that of the worker in flight (nine hours of minutes, a week of blocks) is
asked for once, at the present load and then at the seven loads of the engine, of which a third of
the gauges follow. Beside it, in the same run: `trend` over the same. `--fit 700` fits 20 million
cell-minutes instead. Times are cpu time of this process (all its threads), because the machine may
have others to serve; wall time stands in brackets.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace

import numpy as np
from stopwatch import say, took

from foreshard.forecast.feature.table import describe, lines_of
from foreshard.forecast.hazard import HazardLearner, HazardModel
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule
from foreshard.forecast.past import EVERY
from foreshard.forecast.reel import bytes_of_sample
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.trend_model import TrendLearner

STEP_S = 60.0
RULE = BreachRule()
HORIZONS_S = (300.0, 3600.0)
# What fits into the default memory of the worker for 10,000 cells of 12 gauges.
STEPS, BLOCKS = 540, 1_008
DAY = 1_440
FOLLOWS = 3
BEGINS_S = 60.0 * EVERY * 100_000.0


def levels(cells: int, gauges: int, samples: int, *, seed: int = 0) -> np.ndarray:
    """float32 [C, G, T]: gauges that follow the day, and now and then reach their limit."""
    chance = np.random.default_rng(seed)
    t = np.arange(samples, dtype=np.float32)
    value = np.empty((cells, gauges, samples), dtype=np.float32)
    for c in range(cells):
        phase = chance.uniform(0.0, 6.0, (gauges, 1)).astype(np.float32)
        phase[::FOLLOWS] = phase[0]
        value[c] = 0.5 + 0.2 * np.sin(2.0 * np.pi * t / DAY + phase)
        value[c] += chance.normal(0.0, 0.03, (gauges, samples))
        for at in range(int(chance.integers(300, DAY)), samples - 10, 2 * DAY):
            value[c, int(chance.integers(gauges)), at - 30 : at + 5] += np.linspace(0.0, 0.7, 35)
    return value


def fleet(value: np.ndarray, *, begins_s: float = BEGINS_S, step_s: float = STEP_S) -> History:
    """A history of which every third gauge follows the load, which is the mean of them."""
    cells, gauges, _ = value.shape
    history = History.of_gauges(
        value,
        cells=tuple(f"cell-{c}" for c in range(cells)),
        gauges=tuple(f"gauge-{g}" for g in range(gauges)),
        step_s=step_s,
        begins_s=begins_s,
    )
    return replace(
        history,
        scales_with_load=np.arange(gauges) % FOLLOWS == 0,
        load=value[:, ::FOLLOWS].mean(axis=1),
    )


def in_flight(cells: int, gauges: int) -> History:
    """What the worker remembers: the newest steps, and a week of blocks; a few shapes repeated."""
    few = min(cells, 500)
    times = -(-cells // few)
    fine = np.tile(levels(few, gauges, STEPS), (times, 1, 1))[:cells]
    blocks = np.tile(levels(few, gauges, BLOCKS, seed=1), (times, 1, 1))[:cells]
    block_s = EVERY * STEP_S
    older = fleet(blocks, begins_s=BEGINS_S - (BLOCKS - 1) * block_s, step_s=block_s)
    return replace(fleet(fine, begins_s=BEGINS_S - (STEPS - 1) * STEP_S), older=older)


def main() -> None:
    """Print the figures."""
    asked = _options()
    if asked.fit:
        _fit(asked.fit, asked.gauges)
        return
    model = HazardLearner().fit(fleet(levels(20, asked.gauges, 8 * DAY)), RULE, HORIZONS_S, seed=0)
    _refresh(model, in_flight(asked.cells, asked.gauges), asked.repetitions)


def _refresh(model: HazardModel, history: History, repetitions: int) -> None:
    cells, gauges = history.counts.shape
    at = np.array([history.samples - 1], dtype=np.int64)
    spans = model.spans(history)
    lines = lines_of(history, spans)
    all_cells, now = np.arange(cells), np.full(cells, at[0])
    limit = np.where(history.counts, 1.0, np.nan).astype(np.float32)
    read, _ = took(lambda: lines_of(history, spans), repetitions)
    told, _ = took(lambda: describe(lines, all_cells, now, limit), repetitions)
    whole, wall_s = took(lambda: model.risk(history, at), repetitions)
    loads = TrendForecaster().loads
    curve, curve_s = took(lambda: model.risk(history, at, loads=loads), repetitions)
    trend = TrendLearner().fit(history, RULE, HORIZONS_S, seed=0)
    plain, plain_s = took(lambda: trend.risk(history, at), repetitions)
    trees = model.forests[0].trees.num_trees()
    say(f"{cells} cells x {gauges} gauges, {len(HORIZONS_S)} horizons, {trees} trees each")
    say(f"one load: {whole:.2f} s cpu ({wall_s:.2f} s): {read:.2f} s read what is remembered,")
    say(f"  {told:.2f} s features, {whole - read - told:.2f} s trees and the rest")
    say(f"{len(loads)} loads: {curve:.2f} s cpu ({curve_s:.2f} s)")
    say(f"trend over the same: {plain:.2f} s cpu ({plain_s:.2f} s); x {whole / plain:.1f}")
    each = bytes_of_sample(1, gauges)
    say(f"memory of a cell: {STEPS + BLOCKS} samples of {each} bytes, {(STEPS + BLOCKS) * each:,}")


def _fit(cells: int, gauges: int) -> None:
    history = fleet(levels(cells, gauges, 20 * DAY))
    minutes = history.load.size
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    HazardLearner().fit(history, RULE, HORIZONS_S, seed=0)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say(
        f"fit of {minutes / 1e6:.1f} million cell-minutes x {gauges} gauges: {cpu_s:.0f} s cpu "
        f"({wall_s:.0f} s), {most / 1e6:.1f} GB at most, {before / 1e6:.1f} GB of them the history"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What the trained trees cost.")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--gauges", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--fit", type=int, default=0, help="fit so many cells of 20 days instead; 700 is much"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
