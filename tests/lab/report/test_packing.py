from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.report.packing import NARROW_PX, Label, lanes, text_px

labels = st.builds(
    Label, at=st.floats(0.0, 1.0), width_px=st.floats(10.0, 200.0), centred=st.booleans()
)


@given(st.lists(labels, max_size=20), st.floats(1.0, 6.0))
def test_labels_of_a_lane_never_touch_however_wide_the_page(
    given_labels: list[Label], wider: float
) -> None:
    placed = list(zip(lanes(given_labels, NARROW_PX), given_labels, strict=True))
    for (lane, one), (other_lane, other) in combinations(placed, 2):
        if lane == other_lane:
            for room in (NARROW_PX, wider * NARROW_PX):
                (a, b), (c, d) = one.span_px(room), other.span_px(room)
                assert b < c or d < a


@given(st.lists(labels, min_size=1, max_size=20))
def test_no_lane_is_left_empty(given_labels: list[Label]) -> None:
    used = lanes(given_labels, NARROW_PX)
    assert set(used) == set(range(max(used) + 1))


@given(labels)
def test_a_label_stays_within_the_picture(label: Label) -> None:
    start, end = label.span_px(NARROW_PX)
    assert start >= 0.0
    assert end <= NARROW_PX + 1e-9


def test_wide_letters_are_given_more_room() -> None:
    assert text_px("漢字") > text_px("ab")
    assert text_px("") == 0.0
