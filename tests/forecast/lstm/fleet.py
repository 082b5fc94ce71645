"""A fleet from which there is something to learn: ramps of chance, and an hour of the day."""

from dataclasses import replace

import numpy as np

from foreshard.forecast.history import History
from foreshard.forecast.lstm.course import Course
from foreshard.forecast.lstm.learner import LstmLearner
from foreshard.forecast.onset import BreachRule

RULE = BreachRule(sustain=2, merge_gap_s=3600.0, quiet_s=3600.0)
HORIZONS_S = (1200.0, 3600.0)
STEP_S = 300.0
DAY = 288
SMALL = Course(nets=1, hidden=12, passes=15, batch=64, rate=2e-2, blend=0.95)
LEARNER = LstmLearner(course=SMALL, at_most=2_000)
# Learns next to nothing, soon.
HASTY = LstmLearner(course=replace(SMALL, passes=1), at_most=300)


def fleet(*, days: int = 12, seed: int = 1) -> History:
    """Six cells. Memory fills up and is cleared at the limit; the queue is full once a day."""
    chance = np.random.default_rng(seed)
    t = np.arange(days * DAY)
    value = np.empty((6, 2, len(t)), dtype=np.float32)
    for c in range(6):
        level, slope = 0.3, 0.0
        for k in t:
            if slope == 0.0 and chance.random() < 1 / 200:
                slope = chance.uniform(0.02, 0.05)
            level += slope
            value[c, 0, k] = level + chance.normal(0.0, 0.01)
            if level > 1.06:
                level, slope = 0.3, 0.0
        # Rises within one sample: who looks at the level alone is always late.
        busy = (t - 40 * c) % DAY < 6
        value[c, 1] = np.where(busy, 1.1, 0.4) + chance.normal(0.0, 0.05, size=len(t))
    return History.of_gauges(
        value, cells=tuple("abcdef"), gauges=("memory", "queue"), step_s=STEP_S
    )
