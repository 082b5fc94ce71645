from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.store.exact import exact, restored
from foreshard.model.errors import InvalidValueError
from foreshard.model.workload import Flow
from foreshard.planning.phases import Phase
from tests.engine.shop import Shop, calm, engine_of, fleet_of, leaking

TEXTS = st.text('ab:/"é\n', max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(TEXTS | st.tuples(TEXTS, st.integers()), inner)
        | st.frozensets(TEXTS)
    ),
    max_leaves=8,
)


def there_and_back(value: object) -> object:
    return restored(json.loads(json.dumps(exact(value), allow_nan=False)))


@given(VALUES)
def test_what_was_written_comes_back_with_its_types_and_its_order(value: object) -> None:
    back: Any = there_and_back(value)
    assert back == value
    assert exact(back) == exact(value)


@given(st.lists(st.floats(width=64), max_size=6))
def test_numbers_come_back_bit_for_bit(numbers: list[float]) -> None:
    array = np.array(numbers)
    back: Any = there_and_back({"array": array, "scalar": np.float64(0.1), "nan": float("nan")})
    assert back["array"].tobytes() == array.tobytes()
    assert back["array"].dtype == array.dtype
    assert type(back["scalar"]) is np.float64
    assert math.isnan(back["nan"])


def test_values_of_the_core_come_back_as_what_they_are() -> None:
    value = {Flow("eu", "search"): Phase.DRAINED, ("a", "b"): np.array([True, False])}
    back: Any = there_and_back(value)
    assert list(back) == list(value)
    assert back[Flow("eu", "search")] is Phase.DRAINED


def test_the_engines_whole_state_comes_back_and_goes_on_as_it_would_have() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(14, calm(0.0, eu_2=leaking()))
    back: Any = there_and_back(shop.state)
    assert exact(back) == exact(shop.state)
    seen, forecast = shop.observe(), calm(0.0, eu_2=leaking())
    one, other = (shop.engine.step(state, seen, forecast) for state in (shop.state, back))
    assert exact(one) == exact(other)


@pytest.mark.parametrize(
    "document",
    [
        {"class": "os:PathLike", "of": {}},
        {"class": "foreshard.app.signals:Callable", "of": {}},
        {"class": "foreshard.model.plan:InvalidValueError", "of": {}},
        {"class": "foreshard.engine.decision:Engine", "of": {}},
        {"class": "foreshard.model.plan:Plan.__init__", "of": {}},
        {"class": "foreshard.model.plan:Split", "of": {"shares": {"map": [["a", 2.0]]}}},
        {"enum": "foreshard.planning.phases:Phase", "of": "asleep"},
        {"array": "|O", "shape": [1], "bytes": ""},
        {"array": "<f8", "shape": [2], "bytes": ""},
        {"unknown": 1},
    ],
)
def test_a_file_can_name_values_of_the_core_and_nothing_else(document: object) -> None:
    with pytest.raises(InvalidValueError):
        restored(document)


def test_what_is_no_value_of_the_core_is_not_written() -> None:
    with pytest.raises(InvalidValueError, match="no exact form"):
        exact(object())
    with pytest.raises(InvalidValueError, match="no exact form"):
        exact(np.array([object()]))
