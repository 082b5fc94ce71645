from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.federation import Aggregate, Membership
from foreshard.planning.federation import granted
from tests.planning.federating import costs_of, federated, random_world

amounts = st.floats(0.0, 100.0)


@given(
    st.lists(st.tuples(amounts, st.floats(0.0, 1.0)), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from("abcd"), st.tuples(amounts, amounts), min_size=1),
)
def test_no_room_is_promised_twice_and_no_lack_is_met_less_than_a_smaller_one(
    rooms: list[tuple[float, float]], lacks: dict[str, tuple[float, float]]
) -> None:
    spare = np.array([room for room, _ in rooms])
    ahead = np.array([room * part for room, part in rooms])
    wanted = {name: np.array(lack[: len(rooms)]) for name, lack in lacks.items()}
    given_ = granted(spare, ahead, wanted)
    total = sum(given_.values())
    assert (total <= spare + 1e-9).all()
    assert (total >= np.minimum(sum(wanted.values()), spare) - 1e-9).all()
    for one, lack in wanted.items():
        for other, more in wanted.items():
            for r in range(len(rooms)):
                if lack[r] <= more[r]:
                    assert given_[one][r] <= given_[other][r] + 1e-9
                    assert given_[one][r] >= min(lack[r], given_[other][r]) - 1e-9


def test_what_may_be_needed_soon_is_granted_to_all_alike() -> None:
    found = granted(np.array([6.0]), np.array([4.0]), {"us": np.zeros(1), "ap": np.array([2.0])})
    assert found["ap"].tolist() == [3.0]
    assert found["us"].tolist() == [1.0]


def test_a_region_that_is_its_own_peer_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="peers of eu are"):
        Membership(region="eu", inbound="eu-in", peers=("eu", "us"))
    with pytest.raises(InvalidValueError, match="inbound is 'us'"):
        Membership(region="eu", inbound="us", peers=("us",))
    with pytest.raises(InvalidValueError, match="offers -1"):
        Aggregate(region="eu", made_at_s=0.0, offers={"cpu": -1.0}, uses={})


def test_what_federation_costs_against_one_plan() -> None:
    found = [costs_of(random_world(seed)) for seed in range(30)]
    ratios = np.array([c.ratio for c in found])
    refused = np.array([c.shed[1] - c.shed[0] for c in found])
    assert np.median(ratios) < 1.15
    assert ratios.mean() < 1.5
    assert ratios.max() < 6.0
    assert refused.max() < 0.005
    assert refused.mean() < 0.001


@pytest.mark.parametrize("seed", range(12))
def test_regions_keep_residency_and_all_of_the_demand(seed: int) -> None:
    world = random_world(seed)
    flows = tuple(sorted(world.demand_rps))
    shares, shed = federated(world, flows)
    assert shares.sum(axis=1) + shed == pytest.approx(np.ones(len(flows)), abs=1e-6)
    by_name = {c.name: c for c in world.classes}
    for f, flow in enumerate(flows):
        for c, cell in enumerate(world.fleet.cells):
            if not by_name[flow.request_class].allows(flow.origin, cell.region):
                assert shares[f, c] == 0.0
