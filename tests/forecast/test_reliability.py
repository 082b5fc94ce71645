from __future__ import annotations

import numpy as np
import pytest

from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule
from foreshard.forecast.outlook import Outlook
from foreshard.forecast.reliability import Reliability

RULE = BreachRule(sustain=2, merge_gap_s=300.0, quiet_s=300.0)
STEP_S, HORIZON_S = 60.0, 600.0
CELLS = tuple(f"c{i}" for i in range(20))
A_HORIZON = 10


def told(
    p_true: float,
    p_said: float,
    *,
    moments: int = 300,
    together: bool = False,
    seed: int = 1,
    censor: bool = False,
    level: float = 0.4,
    ranges: tuple[float, float] = (0.0, 1.2),
) -> Reliability:
    """A model that says one thing, of a fleet in which another is true."""
    draw = np.random.default_rng(seed)
    samples = moments * 30
    value = np.full((len(CELLS), 1, samples), level, dtype=np.float32)
    censored = np.zeros((len(CELLS), samples), dtype=bool)
    for block in range(0, samples, 30):
        fails = draw.uniform(size=1 if together else len(CELLS)) < p_true
        if not censor:
            value[:, 0, block + 5 : block + 8] += 0.8 * fails[:, None]
        else:
            censored[:, block + 3 : block + 9] = fails[:, None]
    history = History.of_gauges(value, cells=CELLS, gauges=("g",), step_s=STEP_S)
    history.censored[:] = censored
    found = Reliability(RULE, ranges={"g": ranges})
    for t in range(samples):
        if t % 30 in (0, 10):
            first = max(0, t - 60)
            found.take(said(p_said if t % 30 == 0 else 0.0, t), history.between(first, t + 1))
    return found


def said(p: float, t: int) -> Outlook:
    any_p = np.full((1, 1, len(CELLS)), p, dtype=np.float32)
    return Outlook(
        name="m",
        made_at_s=t * STEP_S,
        step_s=STEP_S,
        horizons_s=(HORIZON_S,),
        loads=(1.0,),
        cells=CELLS,
        gauges=("g",),
        by_gauge=any_p[..., None],
        any=any_p,
        seen=np.full(len(CELLS), 1_000),
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("together", [False, True])
def test_a_model_that_keeps_its_word_is_believed(seed: int, together: bool) -> None:
    found = told(0.05, 0.05, seed=seed, together=together)
    assert not found.broken()
    (kept,) = found.kept().values()
    assert kept.moments > 300
    assert kept.came == pytest.approx(kept.promised, rel=0.5)


@pytest.mark.parametrize(("p_true", "p_said"), [(0.05, 0.2), (0.1, 0.01), (0.0, 0.05)])
def test_a_model_that_breaks_its_word_is_found_out(p_true: float, p_said: float) -> None:
    assert "failures" in told(p_true, p_said).broken()


def test_one_incident_that_hits_the_whole_fleet_breaks_nothing() -> None:
    # In three hundred moments about one, and then everybody fails.
    found = told(0.003, 0.001, together=True, seed=3)
    (kept,) = found.kept().values()
    assert kept.came >= 20
    assert not found.broken()


def test_what_we_averted_is_not_held_against_it() -> None:
    found = told(0.2, 0.2, censor=True, moments=100)
    assert not found.broken()
    (kept,) = found.kept().values()
    assert kept.came == 0.0
    assert kept.averted == pytest.approx(kept.promised_all, rel=0.2)
    # Who promises far more than could have been averted is found out all the same.
    assert told(0.05, 0.4, censor=True, moments=100).broken()


def test_it_is_believed_again_once_the_bad_days_are_over() -> None:
    found = told(0.0, 0.3, moments=60)
    assert found.broken()
    calm = History.of_gauges(
        np.full((len(CELLS), 1, 30), 0.4, dtype=np.float32),
        cells=CELLS,
        gauges=("g",),
        step_s=STEP_S,
    )
    later = 60 * 30 + 8 * 1_440
    for t in range(60 * 30, later, A_HORIZON):
        begins_s = STEP_S * (t - 29)
        found.take(
            said(0.0, t),
            History.of_gauges(
                calm.value, cells=CELLS, gauges=("g",), step_s=STEP_S, begins_s=begins_s
            ),
        )
    assert not found.broken()


def test_inputs_that_were_never_seen_are_told_and_break_it_when_they_are_most() -> None:
    assert told(0.0, 0.0, moments=20).beyond() == {"g": 0.0}
    found = told(0.0, 0.0, moments=20, ranges=(0.5, 0.9))
    assert found.beyond() == {"g": 1.0}
    assert "outside of what it has learned from (0.5 to 0.9)" in found.broken()


def test_before_anything_came_due_nothing_is_held_against_it() -> None:
    found = Reliability(RULE)
    assert not found.broken()
    assert found.beyond() == {}
    assert found.kept() == {}
