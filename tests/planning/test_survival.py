from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.planning.edges import Edges, edges_of
from foreshard.planning.survival import aftermath, losses, sentence, survival
from tests.planning.samples import shop


def fleet(load: float) -> Edges:
    zone = np.array([0, 0, 0, 1, 1, 1])
    return replace(edges_of(shop(load)), zone=zone, loss_p=np.full(6, 0.01))


def test_a_fleet_with_room_survives_any_one_cell() -> None:
    edges = fleet(0.62)
    assert not [x for x in survival(edges, edges.reference) if x.cells.size == 1]


def test_a_zone_too_many_is_said_in_words() -> None:
    edges = fleet(0.9)
    worst = survival(edges, edges.reference)[0]
    assert worst.name.startswith("zone")
    said = sentence(worst, edges.resources)
    assert said.startswith("losing zone")
    assert "% of critical and normal work without a place; missing" in said
    assert said.endswith("cpu")
    # Two thirds of 18 cpus at 90 % on nine of which 97 % may be used, evenly.
    counted = float(edges.demand_rps[:2] @ edges.needs[:2, 0])
    assert worst.missing[0] == pytest.approx(counted - 0.97 * 9.0)


def test_work_that_only_the_lost_cell_may_do_is_stranded() -> None:
    problem = shop(0.3)
    eligible = problem.eligible.copy()
    eligible[0, 1:] = False
    reference = np.where(eligible, problem.reference, 0.0)
    reference /= reference.sum(axis=1, keepdims=True)
    edges = edges_of(replace(problem, eligible=eligible, reference=reference, upper=np.empty(0)))
    _, stranded = aftermath(edges, edges.reference, np.array([0]))
    assert stranded[0] == pytest.approx(edges.demand_rps[0] * edges.needs[0, 0])


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 3.0), st.integers(0, 7))
def test_no_work_is_lost_by_failing_over(load: float, which: int) -> None:
    edges = fleet(load)
    _, cells, _ = list(losses(edges))[which]
    work, stranded = aftermath(edges, edges.reference, cells)
    counted = edges.demand_rps[:2] @ edges.needs[:2]
    assert np.allclose(work.sum(axis=0) + stranded, counted)
    assert (work[cells] == 0.0).all()
