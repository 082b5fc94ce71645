from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.forecast.history import History
from foreshard.forecast.lstm.channel import Sight
from foreshard.forecast.lstm.task import Cut, Record, Tasks, gather, knots_of
from foreshard.forecast.onset import BreachRule, find_onsets, labels

CUT = Cut(steps=12, told=6)
RULE = BreachRule(sustain=2, merge_gap_s=600.0, quiet_s=600.0)
KNOTS = (3, 8)


def one_cell(values: list[float]) -> History:
    value = np.array(values, dtype=np.float32)[None, None]
    return History.of_gauges(value, cells=("a",), gauges=("cpu",), step_s=60.0)


def tasks_of(history: History, *, end: int, at_most: int = 10_000, seed: int = 0) -> Tasks:
    record = Record(
        history=history, onsets=find_onsets(history, RULE), rule=RULE, cut=CUT, knots=KNOTS
    )
    sight = Sight(history, ahead=KNOTS, sustain=RULE.sustain)
    return gather(
        record,
        sight,
        span=(30, end),
        at_most=at_most,
        lowered=0.9,
        chance=np.random.default_rng(seed),
    )


values = st.lists(st.sampled_from([0.1, 0.5, 0.95, 1.0, 1.2]), min_size=150, max_size=150)


@settings(max_examples=30, deadline=None)
@given(values)
def test_what_became_of_a_sample_is_what_the_labels_say(values: list[float]) -> None:
    history = one_cell(values)
    onsets = find_onsets(history, RULE)
    tasks = tasks_of(history, end=150)
    starts = CUT.starts(history, 30, 150)[:-1]
    starts = starts[starts >= 30]
    taken = [s for s in starts if (s + CUT.told - 1) < 150 and (s < 150 - 3 - RULE.sustain + 1)]
    assert len(tasks) == len(taken)
    for j, h in enumerate(KNOTS):
        y, _ = labels(onsets, h)
        for n, start in enumerate(taken):
            for w in range(CUT.told):
                t = start + w
                quiet = tasks.lately[n, w] < 1.0
                if tasks.known[n, w, j] and quiet and onsets.scored[0, t]:
                    assert (tasks.most[n, w, j] >= 1.0) == y[0, t]


@settings(max_examples=30, deadline=None)
@given(values, st.integers(60, 140))
def test_nothing_after_the_end_of_the_stretch_is_learned_from(
    values: list[float], end: int
) -> None:
    history = one_cell(values)
    changed = one_cell(values[:end] + [2.0] * (150 - end))
    one, other = tasks_of(history, end=end), tasks_of(changed, end=end)
    assert np.array_equal(one.known, other.known)
    assert np.array_equal(one.most[one.known], other.most[other.known])
    inside = one.known.any(axis=2)
    assert np.array_equal(one.x[:, -CUT.told :][inside], other.x[:, -CUT.told :][inside])


def test_weights_make_up_for_what_was_left_out() -> None:
    chance = np.random.default_rng(1)
    values = chance.uniform(0.2, 0.8, size=20_000)
    values[::700] = 1.1
    values[1::700] = 1.1
    history = one_cell(values.tolist())
    everything = tasks_of(history, end=20_000)
    some = tasks_of(history, end=20_000, at_most=400)
    assert (everything.weight == 1.0).all()
    assert 300 < len(some) < 500
    assert abs(some.weight.sum() / len(everything) - 1.0) < 0.1
    ends_badly = (some.most >= 1.0).any(axis=(1, 2))
    assert ends_badly.sum() == (everything.most >= 1.0).any(axis=(1, 2)).sum()


def test_samples_count_as_the_history_says() -> None:
    history = one_cell([0.5] * 200)
    weight = np.ones((1, 200), dtype=np.float32)
    weight[0, 60:90], weight[0, 100:] = 0.0, 3.0
    plain = tasks_of(history, end=190)
    tasks = tasks_of(replace(history, weight=weight), end=190)
    assert (plain.counted == 1.0).all()
    # Five whole sequences are of samples that count for nothing, and are not taken.
    assert len(tasks) == len(plain) - 5
    assert {1.0, 3.0} <= set(tasks.counted.ravel().tolist()) <= {0.0, 1.0, 3.0}
    assert not tasks.known[tasks.counted == 0.0].any()


def test_the_record_is_cut_at_the_same_moments_wherever_it_begins() -> None:
    whole = one_cell([0.5] * 200)
    part = whole.between(47, 200)
    assert set(CUT.starts(part, 20, 100) + 47) == set(CUT.starts(whole, 67, 147))


@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=4))
def test_intervals_end_at_the_horizons_and_grow(horizons: list[int]) -> None:
    knots = knots_of(tuple(horizons))
    assert set(horizons) <= set(knots)
    assert list(knots) == sorted(set(knots))
    assert len(knots) <= len(horizons) + 13
