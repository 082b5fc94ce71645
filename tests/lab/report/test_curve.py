from __future__ import annotations

from foreshard.lab.report.curve import area, line, steps


def test_a_value_holds_until_the_next_one() -> None:
    assert steps([(0.0, 0.2), (0.5, 0.4)], 1.0) == [(0.0, 0.2), (0.5, 0.2), (0.5, 0.4), (1.0, 0.4)]
    assert steps([], 1.0) == []


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    assert line([(0.0, 0.0), (0.1, 1.0), None, (0.2, 0.5), (0.3, 0.5)]) == (
        "M0 100L100 0M200 50L300 50"
    )
    assert line([None]) == ""


def test_a_level_stretch_costs_two_points() -> None:
    assert line([(i / 100, 0.5) for i in range(100)]) == "M0 50L990 50"


def test_an_area_is_closed_along_its_lower_edge() -> None:
    assert area([(0.0, 1.0), (1.0, 1.0)], [(0.0, 0.0), (1.0, 0.5)]) == (
        "M0 0L1000 0L1000 50L0 100Z"
    )
    assert area([], []) == ""
