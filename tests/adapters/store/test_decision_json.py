from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.store.decision_json import decode, encode, text_of
from foreshard.model.errors import InvalidValueError
from foreshard.model.forecast import CellForecast, Forecast, RiskCurve, TimeToLimit
from foreshard.model.plan import Act, Decision, Hold, Plan, Reason, Recycle, Split
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.model.telemetry import (
    CellMetrics,
    CellReading,
    ClassTraffic,
    Fresh,
    Gauge,
    Health,
    Missing,
    Observation,
)
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Flow, Match, Needs, Priority, RequestClass

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
# Any text may stand in the parts of a message; a class name holds no slash.
texts = st.text(max_size=20)
floats = st.floats(allow_nan=False)
reasons = st.builds(
    Reason,
    subject=texts,
    code=texts,
    text=texts,
    facts=st.dictionaries(texts, floats, max_size=3),
)
CELLS = tuple(
    Cell(name=name, region="eu", zone="eu-a", nodes=(Node(host="h", port=80),)) for name in "abc"
)
splits = st.floats(0, 1).map(lambda share: Split(shares={"a": share}, shed=1.0 - share))
plans = st.builds(Plan, splits=st.dictionaries(st.builds(Flow, texts, names), splits, max_size=3))
weight_rows = st.builds(
    WeightRow,
    weights=st.dictionaries(st.sampled_from("abc"), st.integers(1, 1000), min_size=1),
    shed=st.integers(0, 10),
)
slot_rows = st.sampled_from("abc").map(
    lambda name: SlotRow(runs=(SlotRun(owner=name, length=3), SlotRun(owner="", length=1)))
)
free = RequestClass(
    name="search",
    priority=Priority.NORMAL,
    weight=3,
    objective_s=0.5,
    timeout_s=2.5,
    match=Match(method="GET", path_prefix="/search"),
    regions=frozenset({"eu", "us"}),
    declared=Needs(per_request={"cpu": 0.024}),
)
keyed = RequestClass(
    name="checkout", priority=Priority.CRITICAL, weight=10, objective_s=1, timeout_s=2,
    key_header="x-key",
)  # fmt: skip
tables = st.builds(
    lambda version, weights, slots: RoutingTable(
        version=version,
        cells=CELLS,
        classes=(
            ClassRoute(request_class=free, rows={"eu": weights}, backups={}),
            ClassRoute(request_class=keyed, rows={"eu": slots}, backups={"a": ("b", "c")}),
        ),
        default_class="search",
    ),
    st.integers(0, 2**40),
    weight_rows,
    slot_rows,
)
because = st.lists(reasons, max_size=3).map(tuple)
decisions = st.builds(
    Decision,
    now_s=st.floats(0, 1e10),
    routing=st.builds(Act, table=tables, because=because) | st.builds(Hold, because=because),
    plan=plans,
    recycle=st.lists(st.builds(Recycle, cell=texts, because=reasons), max_size=2).map(tuple),
    alternatives=because,
    phases=st.dictionaries(texts, texts, max_size=3),
)


@given(decisions)
def test_a_decision_comes_back_from_json_as_it_was(decision: Decision) -> None:
    text = json.dumps(encode(decision), allow_nan=False)
    assert decode(Decision, json.loads(text)) == decision


def test_slots_come_back_and_what_a_row_counts_by_itself_is_not_kept() -> None:
    row = SlotRow(runs=(SlotRun(owner="a", length=3), SlotRun(owner="", length=1)))
    kept = encode(row)
    assert kept == {"runs": [{"owner": "a", "length": 3}, {"owner": "", "length": 1}]}
    assert decode(SlotRow, kept) == row


def test_a_flow_is_origin_and_class_and_a_choice_says_its_kind() -> None:
    plan = Plan(splits={Flow("eu", "search"): Split(shares={"a": 1.0})})
    said = encode(Decision(now_s=1.0, routing=Hold(because=()), plan=plan))
    assert said == {
        "now_s": 1.0,
        "routing": {"kind": "hold", "because": []},
        "plan": {"splits": {"eu/search": {"shares": {"a": 1.0}, "shed": 0.0}}},
        "recycle": [],
        "alternatives": [],
        "phases": {},
        "notices": [],
        "intents": [],
    }


def test_an_observation_comes_back_with_what_is_missing_still_missing() -> None:
    metrics = CellMetrics(gauges={"cpu": Gauge(used=1.0, limit=3.0, scales_with_load=True)})
    seen = Observation(
        now_s=1.0,
        interval_s=1.0,
        cells={
            "a": CellReading(
                health=Health.UP,
                reading=Fresh(metrics=metrics, age_s=0.5),
                traffic={"search": ClassTraffic(rate_rps=3.0, latency_mean_s=0.1)},
                in_flight=2.0,
            ),
            "b": CellReading(health=Health.DOWN, reading=Missing("gone"), in_flight=1.0),
        },
        demand_rps=None,
    )
    said = json.loads(json.dumps(encode(seen), allow_nan=False))
    assert said["cells"]["b"]["reading"] == {"kind": "missing", "because": "gone"}
    assert decode(Observation, said) == seen


def test_a_forecast_comes_back_with_horizons_as_numbers() -> None:
    curve = RiskCurve(loads=(0.0, 1.0), p=(0.1, 0.2))
    forecast = Forecast(
        made_at_s=5.0,
        horizons_s=(60.0, 300.5),
        model="trend",
        cells={
            "a": CellForecast(
                risk={60.0: curve, 300.5: curve},
                time_to_limit={"memory": TimeToLimit(q10_s=1.0, q50_s=2.0, q90_s=math.inf)},
            )
        },
    )
    assert decode(Forecast, json.loads(json.dumps(encode(forecast)))) == forecast


@given(st.dictionaries(texts, st.floats()))
def test_no_number_is_lost_to_json(facts: Mapping[str, float]) -> None:
    reason = Reason(subject="a", code="b", text="c", facts=facts)
    said = json.loads(json.dumps(encode(reason), allow_nan=False))
    back = decode(Reason, said).facts
    assert list(map(repr, back.values())) == list(map(repr, facts.values()))


@given(
    st.builds(dict, decision=decisions, before=st.none() | plans)
    | st.dictionaries(texts | floats, st.floats() | texts | st.sampled_from(Priority))
    | st.dictionaries(st.builds(Flow, texts, names), st.lists(reasons | st.booleans()))
    | st.builds(MappingProxyType, st.dictionaries(texts, st.frozensets(texts)))
)
def test_the_quick_way_writes_what_the_thorough_one_says(value: object) -> None:
    said = json.dumps(encode(value), separators=(",", ":"), allow_nan=False)
    assert text_of(value) == said


@pytest.mark.parametrize("value", [object(), b"bytes", {(1, 2): 3}, [1, object()]])
def test_what_has_no_json_form_is_refused_as_text_too(value: object) -> None:
    with pytest.raises(InvalidValueError, match="JSON"):
        text_of(value)


@pytest.mark.parametrize("value", [object(), b"bytes", {(1, 2): 3}, [1, object()], {True: 1}])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match="JSON"):
        encode(value)


def test_a_class_name_with_a_slash_is_refused_as_a_key() -> None:
    with pytest.raises(InvalidValueError, match="must not hold '/'"):
        encode({Flow("eu", "a/b"): 1})


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        {"now_s": "soon", "routing": {"kind": "hold", "because": []}, "plan": {"splits": {}}},
        {"now_s": 1, "routing": {"kind": "dance"}, "plan": {"splits": {}}},
        {"now_s": 1, "routing": {"because": []}, "plan": {"splits": {}}},
        {"now_s": 1, "routing": {"kind": "hold", "because": []}, "plan": {"splits": {"a": 3}}},
    ],
)
def test_json_that_is_no_decision_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match="this is no Decision"):
        decode(Decision, value)  # type: ignore[arg-type]
