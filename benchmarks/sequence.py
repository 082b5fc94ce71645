"""This module is what the sequence model costs: one refresh of a fleet, and what a fit costs.

Ten thousand gauges with a day and a half of memory are asked for once, as live. Beside it, in the
same run: `trend` over the same fleet, and what a fit of Prophet for each of them would take. Times
are cpu time of this process (all its threads), because the machine may have others to serve; wall
time stands in brackets.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from stopwatch import say, took

from foreshard.forecast.history import History
from foreshard.forecast.lstm.channel import Sight, counted_rows
from foreshard.forecast.lstm.learner import LstmLearner
from foreshard.forecast.onset import BreachRule
from foreshard.forecast.season.fitting import fit_curve
from foreshard.forecast.trend_model import TrendLearner

SAMPLES = 2_200
STEP_S = 60.0
RULE = BreachRule()
HORIZONS_S = (300.0, 3600.0)


def fleet(cells: int, *, samples: int = SAMPLES, seed: int = 0) -> History:
    """Cells with one gauge that follows the day, and now and then reaches its limit."""
    chance = np.random.default_rng(seed)
    t = np.arange(samples)
    day = 0.5 + 0.2 * np.sin(2.0 * np.pi * t / 1_440.0 + chance.uniform(0.0, 6.0, (cells, 1)))
    value = day + chance.normal(0.0, 0.03, (cells, samples))
    for c in range(cells):
        at = int(chance.integers(300, samples - 10))
        value[c, at - 30 : at + 5] += np.linspace(0.0, 0.7, 35)
    return History.of_gauges(
        value[:, None].astype(np.float32),
        cells=tuple(f"cell-{c}" for c in range(cells)),
        gauges=("cpu",),
        step_s=STEP_S,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Print the figures."""
    asked = _options()
    small = fleet(20, samples=6_000)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    model = LstmLearner().fit(small, RULE, HORIZONS_S, seed=0)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    say(f"fit of 20 gauges x 6,000 samples: {cpu_s:.0f} s cpu ({wall_s:.0f} s)")
    history = fleet(asked.cells)
    at = np.array([SAMPLES - 1], dtype=np.int64)
    sight = Sight(history, ahead=(5, 60), sustain=RULE.sustain)
    rows = counted_rows(history)
    trend = TrendLearner().fit(history, RULE, HORIZONS_S, seed=0)
    one = history.value[0, 0].astype(np.float64)
    whole, wall_s = took(lambda: model.risk(history, at), asked.repetitions)
    seen, _ = took(lambda: sight.channels(rows, SAMPLES - 60, SAMPLES), asked.repetitions)
    plain, _ = took(lambda: trend.risk(history, at), asked.repetitions)
    # Most of a fit is a process of its own, which only wall time counts.
    _, single = took(lambda: fit_curve(history.time_s(), one), asked.repetitions)
    say(f"{asked.cells} gauges x 60 samples: lstm {whole:.2f} s cpu ({wall_s:.2f} s),")
    say(f"  of which channels {seen:.2f} s, network {whole - seen:.2f} s")
    say(f"trend over the same: {plain:.2f} s cpu; lstm is {whole / plain:.1f} x trend")
    each = single * asked.cells
    say(f"Prophet for each: {each:.0f} s; {each / whole:.0f} x lstm")


if __name__ == "__main__":
    main()
