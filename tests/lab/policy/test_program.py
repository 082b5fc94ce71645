from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab import service
from foreshard.lab.policy.outlier import outlier
from foreshard.lab.policy.prequal import prequal
from foreshard.lab.policy.program import Draft, backups, even_shares, seated, table_of_draft
from foreshard.lab.policy.sticky import sticky
from foreshard.lab.simulation.routing import NOBODY, Pick, routing_of
from foreshard.model.errors import LabError
from tests.lab.policy.stages import CHECKOUT, REPORT, SEARCH, shop


def test_an_even_split_goes_by_size() -> None:
    shares = even_shares(shop(sizes={0: 9.0}))
    assert shares[0, SEARCH].tolist() == pytest.approx([9 / 24] + [3 / 24] * 5)


def test_residency_is_kept() -> None:
    bound = replace(service.CLASSES[SEARCH], regions=frozenset({"us"}))
    setting = shop(classes=(service.CLASSES[CHECKOUT], bound, service.CLASSES[REPORT]))
    assert even_shares(setting)[0, SEARCH, :3].tolist() == [0.0, 0.0, 0.0]
    near = backups(setting)[SEARCH]
    assert set(near[near != NOBODY].tolist()) <= {3, 4, 5}


def test_a_class_that_nobody_may_serve_is_refused() -> None:
    bound = replace(service.CLASSES[SEARCH], regions=frozenset({"mars"}))
    with pytest.raises(LabError, match="class search"):
        even_shares(shop(classes=(service.CLASSES[CHECKOUT], bound)))


def test_keyed_classes_have_slots_and_free_ones_do_not() -> None:
    setting = shop()
    routing = sticky(setting).draft.routing(setting, backups(setting))
    assert routing.pick[0].tolist() == [Pick.SLOTS, Pick.LEAST_REQUEST, Pick.LEAST_REQUEST]
    held = np.bincount(routing.slots[0, CHECKOUT], minlength=6)
    assert held.max() - held.min() <= 1
    assert (routing.slots[0, SEARCH] == NOBODY).all()


def test_free_routing_needs_no_slots() -> None:
    setting = shop()
    routing = outlier(setting).draft.routing(setting, backups(setting))
    assert (routing.pick == Pick.LEAST_REQUEST).all()
    assert routing.slots.shape[2] == 1


@given(
    st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6).filter(lambda likes: sum(likes) > 0.1),
    st.floats(0.0, 0.9),
)
def test_slots_follow_what_is_liked_and_move_as_seldom_as_possible(
    likes: list[float], shed: float
) -> None:
    setting = shop()
    first = seated(setting, None, np.ones(6))
    then = seated(setting, first, np.array(likes), shed)
    counts = then.counts()
    whole = then.slot_count
    for i, name in enumerate(setting.fleet.names):
        wanted = likes[i] / sum(likes) * (1.0 - shed) * whole
        assert abs(counts.get(name, 0) - wanted) <= 1.0
    assert seated(setting, then, np.array(likes), shed) == then


def test_the_same_draft_makes_real_and_simulated_balancers_do_the_same() -> None:
    setting = shop()
    draft = replace(sticky(setting).draft, shed=np.array([[0.0, 0.0, 0.25]]))
    near = backups(setting)
    told = draft.routing(setting, near)
    table = table_of_draft(draft, setting, version=1)
    real = routing_of(table, setting.fleet, setting.origins, setting.net)
    assert (real.pick == told.pick).all()
    assert (real.slots[0, CHECKOUT] == told.slots[0, CHECKOUT]).all()
    assert (real.backups == told.backups).all()
    np.testing.assert_allclose(real.shed, told.shed, atol=1e-3)
    share = real.weight[0, SEARCH] / real.weight[0, SEARCH].sum()
    np.testing.assert_allclose(share, told.weight[0, SEARCH], atol=1e-3)


def test_what_only_the_simulation_can_do_is_refused_elsewhere() -> None:
    setting = shop()
    with pytest.raises(LabError, match="PREQUAL"):
        table_of_draft(prequal(setting).draft, setting, version=1)


def test_a_keyed_class_that_is_routed_freely_is_told_as_one_without_a_key() -> None:
    setting = shop()
    draft = Draft(share=even_shares(setting), free=Pick.LEAST_REQUEST, net=setting.net)
    table = table_of_draft(draft, setting, version=1)
    assert not table.classes[CHECKOUT].request_class.is_keyed
