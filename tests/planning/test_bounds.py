from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.workload import Flow
from foreshard.planning.bounds import Standing, caps_of, takes_work
from foreshard.planning.phases import CellState, Phase, Why
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.shunning import Shun, Stage
from tests.engine.shop import CELLS, POLICY

FLOWS = (Flow("eu", "checkout"), Flow("eu", "search"))
HOME = np.full((2, 6), 1.0 / 6.0)
NOW_S = 100.0


def standing(live: Floats = HOME, eligible: Flags | None = None, **changes: object) -> Standing:
    able = np.ones((2, 6), dtype=bool) if eligible is None else eligible
    made = Standing(
        cells=CELLS,
        flows=FLOWS,
        home=HOME,
        live=live,
        eligible=able,
        silent=frozenset(),
        crowded=frozenset(),
        most=np.ones((2, 6)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def bounds(
    cells: dict[str, CellState] | None = None,
    shuns: dict[tuple[str, str], Shun] | None = None,
    at: Standing | None = None,
) -> tuple[Floats, Floats]:
    states = {name: CellState() for name in CELLS} | (cells or {})
    return caps_of(states, shuns or {}, at or standing(), now_s=NOW_S, policy=POLICY)


def away(stage: Stage = Stage.AWAY, since_s: float = 0.0) -> Shun:
    return Shun(stage=stage, since_s=since_s, seen_s=0.0, evidence="slow")


def test_an_active_fleet_may_move_anything_but_not_empty_a_cell() -> None:
    lower, upper = bounds()
    assert (upper == 1.0).all()
    assert (lower > 0.0).all()
    assert (lower <= 0.5 * HOME).all()


def test_a_fleet_that_cannot_carry_all_may_shed_all_of_a_class() -> None:
    lower, _ = bounds(at=standing(short=np.ones(6, dtype=bool)))
    assert (lower == 0.0).all()


def test_only_where_cells_are_short_must_what_is_kept_be_free_to_leave() -> None:
    lower, _ = bounds(at=standing(short=np.arange(6) < 3))
    assert (lower[:, :3] == 0.0).all()
    assert (lower[:, 3:] > 0.0).all()


def test_a_draining_cell_keeps_half_of_its_home_share_or_less_if_it_has_less() -> None:
    state = CellState(phase=Phase.DRAINING, why=Why.FORECAST)
    lower, upper = bounds({"eu-1": state})
    assert np.allclose(upper[:, 0], 1.0 / 12.0)
    assert (lower[:, 0] == upper[:, 0]).all()
    little = HOME.copy()
    little[:, 0] = 0.01
    lower, upper = bounds({"eu-1": state}, at=standing(little))
    assert np.allclose(upper[:, 0], 0.01)


def test_a_cell_that_is_out_gets_nothing() -> None:
    for phase in (Phase.DRAINED, Phase.RECYCLING, Phase.QUARANTINED):
        _, upper = bounds({"us-1": CellState(phase=phase)})
        assert (upper[:, 3] == 0.0).all()


def test_a_warming_cell_climbs_and_never_falls() -> None:
    climb = [
        bounds({"eu-1": CellState(phase=Phase.WARMING, since_s=NOW_S - age)})[1][0, 0]
        for age in np.linspace(0.0, 10.0, 21)
    ]
    assert climb == sorted(climb)
    assert climb[0] == HOME[0, 0] / 10.0
    assert climb[-1] == HOME[0, 0]


def test_a_class_that_is_away_leaves_the_others_alone() -> None:
    lower, upper = bounds(shuns={("search", "eu-1"): away(since_s=NOW_S)})
    assert upper[1, 0] == lower[1, 0] == 0.0
    assert upper[0, 0] == 1.0
    assert (upper[1, 1:] == 1.0).all()


def test_a_suspicion_moves_nothing() -> None:
    _, upper = bounds(shuns={("search", "eu-1"): away(Stage.SUSPECT)})
    assert (upper == 1.0).all()


def test_a_class_that_is_away_from_most_cells_is_away_from_none() -> None:
    shuns = {("search", cell): away(since_s=NOW_S) for cell in CELLS[:4]}
    _, upper = bounds(shuns=shuns)
    assert (upper == 1.0).all()


@given(
    st.lists(st.sampled_from(Phase), min_size=6, max_size=6),
    st.sets(st.tuples(st.sampled_from(["checkout", "search"]), st.sampled_from(CELLS))),
    st.sampled_from(Stage),
    st.floats(0.0, 30.0),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_bounds_always_leave_room_for_all_of_a_flow_and_never_feed_who_is_out(
    phases: list[Phase],
    pairs: set[tuple[str, str]],
    stage: Stage,
    age_s: float,
    able: list[bool],
    short: list[bool],
) -> None:
    eligible = np.array(able).reshape(2, 6)
    states = {
        name: CellState(phase=phase, since_s=NOW_S - age_s)
        for name, phase in zip(CELLS, phases, strict=True)
    }
    shuns = {pair: away(stage, NOW_S - age_s) for pair in pairs}
    lower, upper = bounds(states, shuns, standing(eligible=eligible, short=np.array(short)))
    assert (lower >= 0.0).all()
    assert (lower <= upper).all()
    assert (upper <= 1.0).all()
    assert (upper[~eligible] == 0.0).all()
    some = eligible.any(axis=1)
    assert (upper.sum(axis=1)[some] >= 1.0 - 1e-9).all()
    assert (lower.sum(axis=1) <= 1.0 + 1e-9).all()
    takes = np.array([takes_work(states[name]) for name in CELLS])
    for f in np.flatnonzero((eligible & takes).any(axis=1)):
        assert (upper[f, ~takes] == 0.0).all()
