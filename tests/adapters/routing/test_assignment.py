from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.envoy.assignment import Assignments
from foreshard.adapters.routing.envoy.endpoints import free_assignment
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.errors import SinkError
from foreshard.model.topology import Cell, Node

SETTINGS = EnvoySettings(listen_port=10_000)
names = st.text("abcé-", min_size=1, max_size=150)
nodes = st.builds(Node, host=st.ip_addresses().map(str), port=st.integers(1, 65_535))
cells = st.lists(
    st.builds(
        Cell,
        name=names,
        region=names,
        zone=names,
        nodes=st.lists(nodes, min_size=1, max_size=3, unique=True).map(tuple),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda cell: cell.name,
)


@given(
    cells.flatmap(
        lambda some: st.tuples(
            st.just({cell.name: cell for cell in some}),
            st.lists(
                st.dictionaries(
                    st.sampled_from([c.name for c in some]), st.integers(1, 10**9), min_size=1
                ),
                min_size=1,
                max_size=3,
            ),
        )
    )
)
def test_the_bytes_are_those_of_the_message(
    case: tuple[Mapping[str, Cell], list[Mapping[str, int]]],
) -> None:
    fleet, plans = case
    assignments = Assignments(fleet)
    for weights in plans:
        message = free_assignment("free/a", weights, fleet, SETTINGS)
        packed = message.SerializeToString(deterministic=True)
        assert assignments.free("free/a", weights, SETTINGS) == packed


def test_a_host_that_is_no_address_is_refused_here_too() -> None:
    cell = Cell(name="a", region="eu", zone="z", nodes=(Node(host="a.example", port=80),))
    with pytest.raises(SinkError, match=r"node 'a\.example' is not an IP address"):
        Assignments({"a": cell}).free("free/a", {"a": 1}, SETTINGS)
