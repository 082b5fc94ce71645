import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.traffic import Demand, Surge, arrivals
from foreshard.model.errors import InvalidValueError


def demand(
    *,
    rate_rps: float = 450.0,
    duration_s: float = 240.0,
    swing: float = 0.15,
    surges: tuple[Surge, ...] = (),
) -> Demand:
    return Demand(
        rate_rps=rate_rps,
        duration_s=duration_s,
        mix=(0.4, 0.5, 0.1),
        keys=4_000,
        swing=swing,
        surges=surges,
    )


def test_the_same_seed_gives_the_same_requests() -> None:
    one, two = arrivals(demand(), seed=7), arrivals(demand(), seed=7)
    for column in ("t_s", "request_class", "key", "draw"):
        assert np.array_equal(getattr(one, column), getattr(two, column))


def test_another_seed_gives_other_requests() -> None:
    assert not np.array_equal(
        arrivals(demand(), seed=1).t_s[:50], arrivals(demand(), seed=2).t_s[:50]
    )


def test_counts_gaps_and_mix_are_those_of_a_poisson_process() -> None:
    schedule = arrivals(demand(duration_s=600.0, swing=0.0), seed=3)
    expected = 450.0 * 600.0
    assert abs(len(schedule) - expected) < 5.0 * expected**0.5
    gaps = np.diff(schedule.t_s)
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(1.0, abs=0.02)
    shares = np.bincount(schedule.request_class, minlength=3) / len(schedule)
    assert shares == pytest.approx([0.4, 0.5, 0.1], abs=0.01)


def test_the_rate_swings_by_the_amplitude() -> None:
    wanted = Demand(rate_rps=450.0, duration_s=1_200.0, mix=(1.0,), swing=0.15, period_s=120.0)
    phase = arrivals(wanted, seed=5).t_s % 120.0
    per_s = np.bincount((phase // 10.0).astype(int)) / 100.0
    assert per_s.max() / 450.0 == pytest.approx(1.15, abs=0.03)
    assert per_s.min() / 450.0 == pytest.approx(0.85, abs=0.03)


@given(
    rate_rps=st.floats(0.5, 400.0),
    duration_s=st.floats(0.1, 20.0),
    swing=st.floats(0.0, 0.9),
    seed=st.integers(0, 2**32),
)
def test_arrivals_rise_inside_the_run(
    rate_rps: float, duration_s: float, swing: float, seed: int
) -> None:
    schedule = arrivals(demand(rate_rps=rate_rps, duration_s=duration_s, swing=swing), seed=seed)
    assert np.all(np.diff(schedule.t_s) >= 0.0)
    assert np.all((schedule.t_s >= 0.0) & (schedule.t_s <= duration_s + 1e-9))
    assert np.all((schedule.key >= 0) & (schedule.key < 4_000))
    assert np.all(schedule.draw >= 0)
    assert len({len(schedule), len(schedule.request_class), len(schedule.key)}) == 1


@pytest.mark.parametrize(
    "wrong", [{"rate_rps": 0.0}, {"duration_s": -1.0}, {"swing": 1.0}, {"mix": (0.5, 0.4)}]
)
def test_a_demand_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    right = {"rate_rps": 1.0, "duration_s": 1.0, "mix": (1.0,)}
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        Demand(**(right | wrong))  # type: ignore[arg-type]


SURGE = Surge(request_class=2, factor=4.0, at_s=80.0, lasts_s=80.0)


def test_a_surge_asks_more_of_one_class_and_only_for_a_while() -> None:
    calm, more = demand(swing=0.0), demand(swing=0.0, surges=(SURGE,))
    one, two = arrivals(calm, seed=4), arrivals(more, seed=4)
    inside = (two.t_s >= SURGE.at_s) & (two.t_s < SURGE.ends_s)
    reports = two.request_class == SURGE.request_class
    assert (inside & reports).sum() / 80.0 == pytest.approx(4.0 * 45.0, rel=0.05)
    assert (~inside & reports).sum() / 160.0 == pytest.approx(45.0, rel=0.05)
    assert (~reports).sum() == (one.request_class != SURGE.request_class).sum()
    assert np.all(np.diff(two.t_s) >= 0.0)


def test_beneath_a_surge_the_requests_are_those_that_come_without_it() -> None:
    one = arrivals(demand(), seed=4)
    two = arrivals(demand(surges=(SURGE,)), seed=4)
    assert set(zip(one.t_s, one.draw, strict=True)) <= set(zip(two.t_s, two.draw, strict=True))


@pytest.mark.parametrize(
    "wrong", [{"factor": 1.0}, {"at_s": -1.0}, {"lasts_s": 0.0}, {"request_class": 3}]
)
def test_a_surge_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    right = {"request_class": 2, "factor": 2.0, "at_s": 1.0, "lasts_s": 1.0}
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        demand(surges=(Surge(**(right | wrong)),))  # type: ignore[arg-type]


@given(st.floats(1.001, 50.0), st.floats(0.0, 900.0), st.floats(0.001, 900.0))
def test_a_surge_survives_the_command_line(factor: float, at_s: float, lasts_s: float) -> None:
    factor, at_s, lasts_s = round(factor, 3), round(at_s, 3), round(lasts_s, 3)
    surge = Surge(request_class=1, factor=factor, at_s=at_s, lasts_s=lasts_s)
    assert Surge.parse(surge.text(["a", "b-c"]), ["a", "b-c"]) == surge


@pytest.mark.parametrize("text", ["", "report=4", "x=4@1+1", "report=-4@1+1", "report=4@1+1 "])
def test_a_surge_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="CLASS=FACTOR@BEGIN"):
        Surge.parse(text, ["report"])
