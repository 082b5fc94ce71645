from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import SlotRow
from foreshard.model.weights import apportion, quotas
from foreshard.planning.slots import assign_slots, slot_count_for, slot_of
from tests.planning.slotwise import assigned

NAMES = ["", *(f"cell-{i}" for i in range(8))]
SHARES = st.dictionaries(
    st.sampled_from(NAMES), st.one_of(st.just(0.0), st.floats(1e-4, 1.0)), min_size=1
).filter(lambda shares: any(share > 0.02 for name, share in shares.items() if name))
COUNT = 1_024


def owners(row: SlotRow) -> list[str]:
    return [run.owner for run in row.runs for _ in range(run.length)]


@given(SHARES)
def test_a_first_assignment_equals_apportion_in_one_run_a_cell(shares: dict[str, float]) -> None:
    row = assign_slots(None, shares, COUNT)
    expected = {name: n for name, n in apportion(shares, COUNT).items() if n}
    assert row.counts() == expected
    assert len(row.runs) == len(expected)


@given(SHARES, SHARES)
def test_counts_lie_within_one_slot_of_the_quota(
    before: dict[str, float], after: dict[str, float]
) -> None:
    counts = assign_slots(assign_slots(None, before, COUNT), after, COUNT).counts()
    exact = quotas(after, COUNT)
    assert sum(counts.values()) == COUNT
    for name in counts.keys() | exact.keys():
        assert abs(float(counts.get(name, 0) - exact.get(name, 0))) < 1.0


ROUGH = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from([0.0, 0.5, 1.0, 1.25, 3.0]), min_size=1
).filter(lambda shares: any(share for name, share in shares.items() if name))


@given(st.lists(SHARES | ROUGH, min_size=1, max_size=4), st.sampled_from([64, COUNT]))
def test_every_slot_is_where_a_walk_over_all_slots_would_put_it(
    wishes: list[dict[str, float]], count: int
) -> None:
    row = walked = None
    for shares in wishes:
        try:
            walked = assigned(walked, shares, count)
        except InvalidValueError:
            # So few slots that all of them round to what is shed.
            with pytest.raises(InvalidValueError, match="no cell is left"):
                assign_slots(row, shares, count)
            return
        row = assign_slots(row, shares, count)
        assert row == walked


@given(SHARES, SHARES, st.sampled_from([COUNT // 4, COUNT * 4]))
def test_slots_of_another_number_are_where_a_walk_would_put_them(
    before: dict[str, float], after: dict[str, float], count: int
) -> None:
    old = assign_slots(None, before, COUNT)
    assert assign_slots(old, after, count) == assigned(old, after, count)


@given(SHARES, SHARES)
def test_moved_slots_are_the_fewest_possible(
    before: dict[str, float], after: dict[str, float]
) -> None:
    """No rounding of the quotas moves fewer: donors lose only what exceeds quota rounded up."""
    old = assign_slots(None, before, COUNT)
    new = assign_slots(old, after, COUNT)
    moved = sum(a != b for a, b in zip(owners(old), owners(new), strict=True))
    held, got = old.counts(), new.counts()
    assert moved == sum(max(0, held[name] - got.get(name, 0)) for name in held)
    exact = quotas(after, COUNT)
    must_leave = must_come = 0
    for name in held.keys() | exact.keys():
        quota = exact.get(name, 0)
        must_leave += max(0, held.get(name, 0) - -int(-quota // 1))
        must_come += max(0, int(quota) - held.get(name, 0))
    assert moved == max(must_leave, must_come)


@given(SHARES, SHARES)
def test_a_drained_cell_gets_nothing(before: dict[str, float], after: dict[str, float]) -> None:
    counts = assign_slots(assign_slots(None, before, COUNT), after, COUNT).counts()
    assert all(name in after and after[name] > 0.0 for name in counts)


@given(SHARES, SHARES)
def test_what_is_asked_again_moves_nothing(
    before: dict[str, float], after: dict[str, float]
) -> None:
    row = assign_slots(assign_slots(None, before, COUNT), after, COUNT)
    assert assign_slots(row, after, COUNT) == row


@given(SHARES, SHARES)
def test_a_key_that_moves_moves_once(before: dict[str, float], after: dict[str, float]) -> None:
    """Half way first, then whole: no slot changes its owner in both steps."""
    total_before, total_after = sum(before.values()), sum(after.values())
    names = before.keys() | after.keys()
    half = {
        name: before.get(name, 0.0) / total_before + after.get(name, 0.0) / total_after
        for name in names
    }
    first = assign_slots(None, before, COUNT)
    second = assign_slots(first, half, COUNT)
    third = assign_slots(second, after, COUNT)
    twice = sum(
        b not in (a, c)
        for a, b, c in zip(owners(first), owners(second), owners(third), strict=True)
    )
    # Rounding may take one slot a cell back.
    assert twice <= len(names)


def test_donors_give_up_their_highest_slots_and_get_them_back() -> None:
    home = assign_slots(None, {"a": 1.0, "b": 1.0}, COUNT)
    away = assign_slots(home, {"a": 1.0, "b": 3.0}, COUNT)
    assert owners(away)[:256] == ["a"] * 256
    assert owners(away)[256:] == ["b"] * 768
    assert owners(assign_slots(away, {"a": 3.0, "b": 1.0}, COUNT)).count("a") == 768


def test_shed_slots_have_an_empty_owner() -> None:
    assert assign_slots(None, {"a": 0.75, "": 0.25}, COUNT).counts() == {"": 256, "a": 768}


@given(SHARES, st.sampled_from([COUNT // 2, COUNT * 2, COUNT * 4]))
def test_keys_stay_at_home_when_the_number_of_slots_changes(
    shares: dict[str, float], count: int
) -> None:
    old = assign_slots(None, shares, COUNT)
    before, after = owners(old), owners(assign_slots(old, shares, count))
    if count > COUNT:
        moved = sum(before[slot % COUNT] != owner for slot, owner in enumerate(after))
        assert moved <= (count // COUNT) * len(shares)
    else:
        assert len(after) == count


def test_table_stays_small_after_a_thousand_random_moves() -> None:
    rng = random.Random(7)
    names = [f"cell-{i}" for i in range(6)]
    count = slot_count_for(len(names))
    row = assign_slots(None, dict.fromkeys(names, 1.0), count)
    most = 0
    for _ in range(1_000):
        shares = {name: rng.choice([0.0, 0.5, 1.0, 1.0, 1.0, 1.2]) for name in names}
        shares["cell-0"] = max(shares["cell-0"], 0.1)
        row = assign_slots(row, shares, count)
        most = max(most, len(row.runs))
    assert most <= count // 16


@settings(max_examples=30)
@given(st.integers(1, 5_000))
def test_slot_counts_are_powers_of_two_with_128_slots_a_cell(cells: int) -> None:
    count = slot_count_for(cells)
    assert count & (count - 1) == 0
    assert count >= max(4_096, 128 * cells)
    assert count == 4_096 or count < 2 * 128 * cells


def test_the_slot_of_a_key_is_xxh64_with_seed_0() -> None:
    assert slot_of("", 2**62) == 0xEF46DB3751D8E999 % 2**62
    spread = np.bincount([slot_of(f"key-{i}", 16) for i in range(16_000)], minlength=16)
    assert spread.min() > 850


def test_a_count_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="slot_count is 1000"):
        assign_slots(None, {"a": 1.0}, 1_000)


def test_shedding_everything_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="no cell is left"):
        assign_slots(None, {"": 1.0, "a": 0.0}, COUNT)
