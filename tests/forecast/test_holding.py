from __future__ import annotations

import numpy as np

from foreshard.forecast.holding import Keeping, is_held

CELLS, STEPS = 6, 300
MAY = np.array([True, False])


def keeping(
    *, lost: float = 0.0, slower: float = 1.0, busier: float = 1.0, in_cell: int = 1
) -> Keeping:
    """Connections and cpu of six cells; in one of them something grows from the middle on."""
    rng = np.random.default_rng(5)
    grown = np.clip((np.arange(STEPS) - STEPS / 2) / (STEPS / 2), 0.0, 1.0)
    mine = np.zeros((CELLS, 1))
    mine[in_cell] = 1.0
    load = 0.6 * (1.0 + (busier - 1.0) * mine * grown) * rng.normal(1.0, 0.08, (CELLS, STEPS))
    late = 0.1 * (1.0 + (slower - 1.0) * mine * grown) * rng.normal(1.0, 0.05, (CELLS, STEPS))
    used = load * late + lost * mine * grown
    value = np.stack((used, load), axis=1)
    return Keeping(value=value, load=load, late=late[:, None], may_hold=MAY)


def test_lost_connections_are_held_whatever_the_load() -> None:
    held = is_held(keeping(lost=0.4))
    assert np.argwhere(held).tolist() == [[1, 0]]


def test_what_slow_answers_keep_is_not_lost() -> None:
    assert not is_held(keeping(slower=6.0)).any()


def test_what_more_load_needs_is_not_lost() -> None:
    assert not is_held(keeping(busier=2.5)).any()


def test_what_is_offered_anew_each_second_cannot_be_held() -> None:
    one = keeping()
    value = one.value.copy()
    value[1, 1, STEPS // 2 :] *= 4.0
    creeping = Keeping(value=value, load=one.load, late=one.late, may_hold=one.may_hold)
    assert not is_held(creeping).any()


def test_nothing_is_known_where_load_is_not() -> None:
    one = keeping(lost=0.4)
    deaf = Keeping(
        value=one.value,
        load=np.full_like(one.load, np.nan),
        late=one.late,
        may_hold=one.may_hold,
    )
    assert not is_held(deaf).any()


def test_a_cell_by_itself_is_held_against_its_own_past() -> None:
    one = keeping(lost=0.4, in_cell=0)
    alone = Keeping(
        value=one.value[:1], load=one.load[:1], late=one.late[:1], may_hold=one.may_hold
    )
    assert is_held(alone).tolist() == [[True, False]]
