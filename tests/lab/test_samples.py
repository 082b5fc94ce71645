from __future__ import annotations

import json
from typing import Any

from foreshard.lab.samples import Samples


def cell(p: float | None, *, share: float, phase: str = "active") -> dict[str, Any]:
    by_horizon = {} if p is None else {"20": p / 2, "60": p}
    return {
        "shares": {"eu/search": share, "us/search": share},
        "phase": phase,
        "risk": {
            "p": by_horizon,
            "band": {"60": [0.1, 0.9]} if p else {},
            "class": {"search": by_horizon},
            "class_band": {},
        },
    }


def taken(*rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    samples = Samples(cells=("a", "b"), classes=("search",), horizons_s=(20.0, 60.0))
    for second, cells in enumerate(rows):
        samples.take({"cells": cells}, at_s=second + 0.123)
    columns: dict[str, Any] = json.loads(json.dumps(samples.columns()))
    return columns


def test_what_nobody_stated_is_null_and_never_nought() -> None:
    found = taken({"a": cell(None, share=0.5), "b": cell(0.0, share=0.5)})
    assert found["risk"]["60"] == [[None, [0.0, 0.0, 0.0]]]
    assert found["class_risk"]["20"] == [[[None, [0.0, 0.0, 0.0]]]]


def test_a_probability_has_its_band_or_is_as_good_as_certain() -> None:
    found = taken({"a": cell(0.5, share=0.5), "b": cell(0.4, share=0.5)})
    assert found["risk"]["60"][0][0] == [0.5, 0.1, 0.9]
    assert found["risk"]["20"][0][0] == [0.25, 0.25, 0.25]


def test_shares_phases_and_what_is_shed_are_kept_by_moment() -> None:
    found = taken(
        {"a": cell(0.0, share=0.5), "b": cell(0.0, share=0.5)},
        {"a": cell(0.0, share=0.0, phase="drained"), "b": cell(0.0, share=0.75)},
    )
    assert found["t_s"] == [0.12, 1.12]
    assert found["share"] == [[[0.5, 0.5]], [[0.0, 0.75]]]
    assert found["shed"] == [[0.0], [0.25]]
    assert found["phase"] == [["active", "active"], ["drained", "active"]]
    assert found["horizons_s"] == [20.0, 60.0]


def test_a_share_is_the_mean_over_origins_also_where_one_gives_nothing() -> None:
    a, b = cell(0.0, share=0.5), cell(0.0, share=0.0)
    a["shares"], b["shares"] = {"eu/search": 1.0, "us/search": 0.5}, {"us/search": 0.5}
    found = taken({"a": a, "b": b})
    assert found["share"] == [[[0.75, 0.25]]]
