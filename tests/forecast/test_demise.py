from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.demise import Demise, demises_of
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, find_onsets, labels

STEP_S = 60.0
RULE = BreachRule(sustain=3, merge_gap_s=300.0, quiet_s=240.0)
KILLED = 20


def lived(*gauges: Sequence[float], restarts: Sequence[int] = (KILLED,)) -> History:
    """A cell that restarts in the middle of some steps; before the first it was up for long."""
    samples = len(gauges[0])
    up_s, age = np.zeros(samples, dtype=np.float32), 100_000.0
    for t in range(samples):
        age = STEP_S / 2.0 if t in restarts else age + STEP_S
        up_s[t] = age
    history = History.of_gauges(
        np.array([gauges], dtype=np.float32),
        cells=("eu-1",),
        gauges=tuple(f"gauge-{i}" for i in range(len(gauges))),
        step_s=STEP_S,
    )
    return replace(history, up_s=up_s[None])


def leak(last: float, *, per_step: float, samples: int = 40) -> list[float]:
    """A gauge that rises to `last` in the step before `KILLED`, and begins anew."""
    rise = [max(last - per_step * (KILLED - 1 - t), 0.1) for t in range(KILLED)]
    return rise + [0.1] * (samples - KILLED)


STEADY = [0.5] * 40


@pytest.mark.parametrize(("last", "per_step"), [(0.97, 0.005), (0.9, 0.06), (0.6, 0.25)])
def test_a_process_that_ends_where_its_leak_leads_breaches_its_limit(
    last: float, per_step: float
) -> None:
    history = lived(STEADY, leak(last, per_step=per_step))
    assert demises_of(history, 0) == (Demise(at=KILLED, gauge=1),)
    found = find_onsets(history, RULE)
    assert (found.begin.tolist(), found.gauge.tolist()) == ([KILLED], [1])
    y, known = labels(found, 5)
    assert np.flatnonzero(y[0]).tolist() == list(range(KILLED - 5, KILLED))
    assert known[0, :KILLED].all()
    assert not found.scored[0, KILLED : KILLED + 4].any()


def test_what_was_heard_in_the_step_of_the_end_counts() -> None:
    late = leak(0.9, per_step=0.01)
    late[KILLED] = 0.99
    assert demises_of(lived(late), 0) == (Demise(at=KILLED, gauge=0),)


@pytest.mark.parametrize("quiet", [STEADY, leak(0.8, per_step=0.02), leak(0.9, per_step=0.0)])
def test_a_release_far_from_any_limit_is_no_breach(quiet: list[float]) -> None:
    assert demises_of(lived(quiet), 0) == ()
    assert len(find_onsets(lived(quiet), RULE)) == 0


def test_who_stands_at_the_limit_and_lives_is_not_killed() -> None:
    assert demises_of(lived([0.99] * 40, restarts=()), 0) == ()


def test_a_restart_of_ours_is_no_failure() -> None:
    history = lived(leak(0.98, per_step=0.01))
    censored = np.zeros((1, 40), dtype=bool)
    censored[0, KILLED - 1] = True
    assert demises_of(replace(history, censored=censored), 0) == ()


def test_a_gauge_that_does_not_count_kills_nobody() -> None:
    history = lived(leak(0.98, per_step=0.01))
    assert demises_of(replace(history, counts=np.zeros((1, 1), dtype=bool)), 0) == ()


def test_a_short_silence_hides_no_end_and_a_long_one_does() -> None:
    def silent(steps: int) -> History:
        history = lived(leak(0.98, per_step=0.01), restarts=[KILLED + steps - 1])
        value, up_s = history.value.copy(), history.up_s.copy()
        value[0, :, KILLED : KILLED + steps - 1] = np.nan
        up_s[0, KILLED : KILLED + steps - 1] = np.nan
        return replace(history, value=value, up_s=up_s)

    assert demises_of(silent(2), 0) == (Demise(at=KILLED, gauge=0),)
    assert demises_of(silent(8), 0) == ()


def test_a_cell_killed_at_its_limit_again_and_again_is_one_episode_while_it_lasts() -> None:
    tooth = [0.25 * (1 + t % 4) - 0.02 for t in range(40)]
    found = find_onsets(lived(tooth, restarts=range(4, 40, 4)), RULE)
    assert found.begin.tolist() == [4]
    assert found.end.tolist() == [36]
