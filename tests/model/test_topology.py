from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.topology import Cell, Fleet, Node

REGIONS = ("ap", "eu", "us")


def nearest(home: Cell, fleet: Fleet, regions: frozenset[str], most: int) -> tuple[str, ...]:
    """All others in turn from the cell on, sorted by distance."""
    start = fleet.index[home.name]
    rotated = (*fleet.cells[start + 1 :], *fleet.cells[:start])
    able = [cell for cell in rotated if cell.region in regions]
    able.sort(key=lambda cell: fleet.distance_ms(home.region, cell))
    return tuple(cell.name for cell in able[:most])


@given(
    st.lists(st.sampled_from(REGIONS), min_size=1, max_size=12),
    st.dictionaries(
        st.tuples(st.sampled_from(REGIONS), st.sampled_from(REGIONS)),
        st.sampled_from([0.0, 10.0, 80.0]),
    ),
    st.frozensets(st.sampled_from((*REGIONS, "nowhere"))),
    st.integers(1, 6),
)
def test_the_nearest_cells_are_those_of_a_sorted_list(
    stands: list[str],
    latency_ms: dict[tuple[str, str], float],
    regions: frozenset[str],
    most: int,
) -> None:
    cells = tuple(
        Cell(name=f"c{i}", region=region, zone="z", nodes=(Node(host="h", port=1),))
        for i, region in enumerate(stands)
    )
    fleet = Fleet(cells=cells, latency_ms=latency_ms, default_latency_ms=30.0)
    found = fleet.nearest(regions, most=most)
    assert found == {cell.name: nearest(cell, fleet, regions, most) for cell in cells}
    assert fleet.nearest(regions, most=most) is found


def test_hardware_of_a_cell_that_is_not_there_is_refused() -> None:
    cell = Cell(name="a", region="eu", zone="eu", nodes=(Node(host="10.0.0.1", port=80),))
    assert Fleet(cells=(cell,), hardware={"a": "arm"}).sorts == ("arm",)
    with pytest.raises(InvalidValueError, match="names b"):
        Fleet(cells=(cell,), hardware={"b": "arm"})
