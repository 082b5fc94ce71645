from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.forecast.window import Window
from foreshard.model.errors import InvalidValueError
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import CellForecast, Forecast, RiskCurve
from foreshard.model.workload import Needs, Priority
from foreshard.router.placement import (
    Move,
    NoAlternative,
    Placement,
    Stay,
    shard_request,
    shard_requests,
)
from foreshard.router.request import CellHistory, Request, ShardPolicy, ShardRule, WorkloadProfile

PROFILE = WorkloadProfile(
    needs={
        "light": Needs(per_request={"cpu": 0.1}),
        "heavy": Needs(per_request={"cpu": 1.0, "memory": 2.0}),
    }
)
HEAVY = Request(request_class="heavy", cell="eu-1", origin="eu")
LIGHT = replace(HEAVY, request_class="light")
MOMENTS = tuple(float(t) for t in range(100))
LEAK = {"heap": tuple(0.4 + 0.005 * t for t in range(100))}
STEADY = {"heap": tuple(0.4 + 0.001 * (t % 3) for t in range(100))}


def cell(name: str, cpu: float, **changes: Any) -> CellHistory:  # noqa: ANN401 - fields of all kinds
    known: dict[str, Any] = {
        "region": name.partition("-")[0],
        "capacity": {"cpu": 4.0},
        "used": {"cpu": cpu},
        "time_s": MOMENTS,
        "gauges": STEADY,
    }
    return CellHistory(name=name, **(known | changes))


@dataclass(frozen=True)
class Told:
    """A forecaster that says what it was told, by cell: P at load 0 and at the present load."""

    p: Mapping[str, tuple[float, float]]
    horizons_s: tuple[float, ...] = (300.0,)

    def fit(self, history: Sequence[Window]) -> Self:
        return self

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        cells = {
            name: CellForecast(
                risk={h: RiskCurve(loads=(0.0, 1.0), p=self.p[name]) for h in self.horizons_s}
            )
            for name in window.cells
            if name in self.p
        }
        return Forecast(made_at_s=now_s, horizons_s=self.horizons_s, model="told", cells=cells)

    def snapshot(self) -> Mapping[str, Any]:
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> Self:
        return self


def place(
    request: Request,
    *cells: CellHistory,
    p: Mapping[str, tuple[float, float]] | None = None,
    **policy: Any,  # noqa: ANN401 - fields of all kinds
) -> Placement:
    forecaster = None if p is None else Told(p)
    return shard_request(
        request, cells, PROFILE, policy=ShardPolicy(**policy), forecaster=forecaster
    )


def test_a_leaking_cell_without_room_is_left_and_the_reason_is_told() -> None:
    found = place(HEAVY, cell("eu-1", 3.5, gauges=LEAK), cell("eu-2", 1.0))
    assert isinstance(found, Move)
    assert (found.cell, found.left) == ("eu-2", "eu-1")
    assert found.p_failure is not None
    assert found.p_failure > 0.9
    assert "within 300 s" in found.because
    assert "heavy needs 1 cpu of 0.5 left" in found.because


@pytest.mark.parametrize(
    ("request_", "gauges"), [(LIGHT, LEAK), (HEAVY, STEADY), (LIGHT, STEADY)], ids=str
)
def test_one_reason_alone_moves_nothing(
    request_: Request, gauges: Mapping[str, tuple[float, ...]]
) -> None:
    found = place(request_, cell("eu-1", 3.5, gauges=gauges), cell("eu-2", 1.0))
    assert isinstance(found, Stay)
    assert found.cell == "eu-1"
    assert found.p_failure is not None
    assert (found.p_failure > 0.5) == (gauges is LEAK)


def test_with_or_a_leak_moves_what_fits_and_a_lack_of_room_moves_what_is_safe() -> None:
    cells = cell("eu-1", 3.5, gauges=LEAK), cell("eu-2", 1.0)
    assert isinstance(place(LIGHT, *cells, rule=ShardRule.OR), Move)
    healthy = cell("eu-1", 3.5), cell("eu-2", 1.0)
    assert isinstance(place(HEAVY, *healthy, rule=ShardRule.OR), Move)
    assert isinstance(place(LIGHT, *healthy, rule=ShardRule.OR), Stay)


def test_with_or_risk_that_less_load_would_cure_stays_under_and() -> None:
    cells = cell("eu-1", 3.5), cell("eu-2", 1.0)
    of_load = {"eu-1": (0.1, 0.9), "eu-2": (0.0, 0.0)}
    assert isinstance(place(LIGHT, *cells, p=of_load, rule=ShardRule.OR), Stay)
    assert isinstance(place(HEAVY, *cells, p=of_load, rule=ShardRule.OR), Move)
    standing = {"eu-1": (0.9, 0.9), "eu-2": (0.0, 0.0)}
    assert isinstance(place(LIGHT, *cells, p=standing, rule=ShardRule.OR), Move)


@given(
    p=st.floats(0.0, 1.0),
    standing=st.floats(0.0, 1.0),
    used=st.floats(0.0, 5.0),
    threshold=st.floats(0.01, 0.99),
    rule=st.sampled_from(ShardRule),
)
def test_the_rule_is_exactly_what_it_says(
    p: float, standing: float, used: float, threshold: float, rule: ShardRule
) -> None:
    standing = min(standing, p)
    told = {"eu-1": (standing, p), "eu-2": (0.0, 0.0)}
    cells = cell("eu-1", used, capacity={"cpu": 4.0}), cell("eu-2", 0.0)
    found = place(HEAVY, *cells, p=told, threshold_p=threshold, rule=rule)
    is_short = max(4.0 - used, 0.0) < 1.0
    due = p > threshold and is_short
    if rule is ShardRule.OR:
        due = due or is_short or standing > threshold
    assert isinstance(found, Move if due else Stay)
    assert found.p_failure == p


def test_the_nearest_comes_first_then_the_least_loaded_then_the_name() -> None:
    full = cell("eu-1", 4.0, gauges=LEAK)
    near, far = cell("eu-2", 2.0), cell("us-1", 0.0)
    assert place(HEAVY, full, far, near).cell == "eu-2"
    idle = cell("eu-3", 1.0)
    assert place(HEAVY, full, near, far, idle).cell == "eu-3"
    assert place(HEAVY, full, cell("eu-5", 1.0), cell("eu-4", 1.0)).cell == "eu-4"
    latency = {("eu", "us"): 90.0, ("eu", "ap"): 40.0}
    abroad = cell("us-1", 0.0), cell("ap-1", 2.0), cell("xx-1", 0.0)
    assert place(HEAVY, full, *abroad, latency_ms=latency).cell == "ap-1"


def test_an_alternative_that_may_fail_or_is_down_or_forbidden_is_none() -> None:
    cells = (
        cell("eu-1", 4.0),
        cell("eu-2", 0.0),
        cell("eu-3", 0.0, is_up=False),
        cell("us-1", 0.0),
        cell("eu-4", 3.8),
    )
    told = {"eu-1": (0.9, 0.9), "eu-2": (0.8, 0.8), "us-1": (0.0, 0.0)}
    found = place(replace(HEAVY, regions=frozenset({"eu"})), *cells, p=told)
    assert isinstance(found, NoAlternative)
    assert found.cell == "eu-1"
    for words in (
        "eu-2 may fail itself (p 0.80)",
        "eu-3 is down",
        "us-1 stands in us, which may not serve it",
        "eu-4 lacks 1 cpu of 0 left",
    ):
        assert words in found.because
    assert place(HEAVY, *cells, p=told).cell == "us-1"


def test_a_cell_that_says_nothing_of_what_is_needed_is_not_the_emptiest() -> None:
    full, silent = cell("eu-1", 4.0, gauges=LEAK), cell("eu-0", 0.0, capacity={}, used={})
    assert place(HEAVY, full, silent, cell("eu-2", 2.0)).cell == "eu-2"
    found = place(HEAVY, full, silent)
    assert isinstance(found, NoAlternative)
    assert "eu-0 says nothing of its cpu" in found.because


def test_without_any_other_cell_that_is_said() -> None:
    found = place(HEAVY, cell("eu-1", 4.0, gauges=LEAK))
    assert isinstance(found, NoAlternative)
    assert "there is no other cell" in found.because


def test_the_last_tenth_of_an_alternative_is_for_critical_requests() -> None:
    cells = cell("eu-1", 4.0, gauges=LEAK), cell("eu-2", 2.8)
    assert isinstance(place(HEAVY, *cells), NoAlternative)
    critical = replace(HEAVY, priority=Priority.CRITICAL)
    assert place(critical, *cells).cell == "eu-2"
    assert place(HEAVY, *cells, reserve_ratio=0.0).cell == "eu-2"


def test_of_several_requests_the_critical_ones_get_the_room() -> None:
    requests = [
        replace(HEAVY, priority=priority)
        for priority in (Priority.SHEDDABLE, Priority.NORMAL, Priority.CRITICAL)
    ]
    cells = cell("eu-1", 4.0, gauges=LEAK), cell("eu-2", 1.4)
    found = shard_requests(requests, cells, PROFILE, policy=ShardPolicy(reserve_ratio=0.0))
    assert [type(each) for each in found] == [NoAlternative, Move, Move]


def test_what_was_placed_takes_up_room_for_what_comes_after() -> None:
    cells = cell("eu-1", 4.0, gauges=LEAK), cell("eu-2", 0.0), cell("eu-3", 0.9)
    policy = ShardPolicy(reserve_ratio=0.0)
    found = shard_requests([HEAVY] * 4, cells, PROFILE, policy=policy)
    assert [each.cell for each in found] == ["eu-2", "eu-3", "eu-2", "eu-3"]
    assert shard_requests([], cells, PROFILE) == ()


def test_of_a_cell_with_few_readings_nothing_is_foreseen_unless_it_is_at_its_limit() -> None:
    spare = cell("eu-2", 0.0)
    little: list[dict[str, Any]] = [
        {"time_s": (), "gauges": {}},
        {"time_s": (1.0,), "gauges": {"heap": (0.9,)}},
        {"gauges": {"heap": (nan,) * 100}},
    ]
    for few in little:
        found = place(HEAVY, cell("eu-1", 4.0, **few), spare)
        assert isinstance(found, Stay)
        assert found.p_failure is None
        assert "too little is known of eu-1" in found.because
        assert isinstance(place(HEAVY, cell("eu-1", 4.0, **few), spare, rule=ShardRule.OR), Move)
    full = cell("eu-1", 4.0, time_s=(1.0,), gauges={"disk": (1.0,)})
    assert place(HEAVY, full, spare).p_failure == 1.0
    down = cell("eu-1", 0.0, capacity={}, used={}, is_up=False)
    assert isinstance(place(LIGHT, down, spare), Move)


def test_a_cpu_that_climbs_with_its_load_is_no_trend_and_one_that_climbs_without_is() -> None:
    rising = tuple(0.3 + 0.004 * t for t in range(100))
    load = tuple(each * 10.0 for each in rising)
    known = {"gauges": {"cpu": rising}, "scales_with_load": frozenset({"cpu"})}
    spare = cell("eu-2", 0.0)
    with_load = place(HEAVY, cell("eu-1", 3.5, **known, load=load), spare)
    without = place(HEAVY, cell("eu-1", 3.5, **known, load=(5.0,) * 100), spare)
    assert with_load.p_failure is not None
    assert without.p_failure is not None
    assert with_load.p_failure < 0.1
    assert without.p_failure > 0.5


def test_a_class_that_is_not_in_the_profile_has_the_needs_of_its_default_or_is_refused() -> None:
    cells = cell("eu-1", 3.5, gauges=LEAK), cell("eu-2", 1.0)
    unknown = replace(HEAVY, request_class="new")
    with pytest.raises(InvalidValueError, match=r"'new' is not in the profile \(heavy, light\)"):
        place(unknown, *cells)
    profile = replace(PROFILE, default_class="heavy")
    assert isinstance(shard_request(unknown, cells, profile), Move)


def test_what_makes_no_sense_is_refused_in_words() -> None:
    one = cell("eu-1", 1.0)
    with pytest.raises(InvalidValueError, match="'eu-9' of the request is not in cell_metrics"):
        place(replace(HEAVY, cell="eu-9"), one)
    with pytest.raises(InvalidValueError, match=r"\['eu-1'\] are there more than once"):
        place(HEAVY, one, one)
    with pytest.raises(InvalidValueError, match=r"speaks of \[60.0\] s, not of 300 s"):
        shard_request(HEAVY, [one], PROFILE, forecaster=Told({}, horizons_s=(60.0,)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "name is empty"),
        ({"capacity": {"cpu": 0.0}}, "capacity of cpu is 0.0"),
        ({"capacity": {"cpu": inf}}, "capacity of cpu is inf"),
        ({"used": {}}, r"\['cpu'\] are in only one"),
        ({"used": {"cpu": nan}}, "cpu used is nan"),
        ({"time_s": (2.0, 1.0), "gauges": {}}, "time_s must be finite and rise"),
        ({"time_s": (1.0, nan), "gauges": {}}, "time_s must be finite and rise"),
        ({"gauges": {"heap": (0.1,)}}, "gauge heap has 1 readings at 100 moments"),
        ({"gauges": {"heap": (-0.1,) * 100}}, "gauge heap is negative"),
        ({"load": (1.0,)}, "load has 1 values at 100 moments"),
        ({"scales_with_load": frozenset({"cpu"})}, r"names \['cpu'\]"),
    ],
)
def test_a_cell_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        replace(cell("eu-1", 1.0), **changes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(HEAVY, cell=""), "cell is empty"),
        (lambda: replace(HEAVY, priority=1), "priority is 1"),  # type: ignore[arg-type]
        (lambda: replace(PROFILE, default_class="x"), "default_class is 'x'"),
        (lambda: ShardPolicy(threshold_p=1.0), "threshold_p is 1.0"),
        (lambda: ShardPolicy(threshold_p=nan), "threshold_p is nan"),
        (lambda: ShardPolicy(horizon_s=0.0), "horizon_s is 0.0"),
        (lambda: ShardPolicy(reserve_ratio=1.0), "reserve_ratio is 1.0"),
        (lambda: ShardPolicy(latency_ms={("a", "b"): -1.0}), "latency_ms of"),
        (lambda: ShardPolicy(rule="xor"), "rule is 'xor'"),  # type: ignore[arg-type]
    ],
)
def test_a_request_or_a_policy_that_cannot_be_is_refused(
    make: Callable[[], object], words: str
) -> None:
    with pytest.raises(InvalidValueError, match=words):
        make()
