"""One proxy's way to its goal: no hole on the way, and nothing said twice."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.envoy.delta import DeltaDialect
from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    ROUTE_TYPE,
    Resources,
)
from foreshard.adapters.routing.envoy.session import Session
from foreshard.adapters.routing.envoy.snapshot import snapshot
from foreshard.adapters.routing.envoy.sotw import SotwDialect
from tests.adapters.routing.xds_peer import BAD, Peer, small_world

LINGER_S = 10.0

clusters = st.sampled_from(["c0", "c1", "c2", "c3"])
worlds = st.builds(
    small_world,
    st.dictionaries(
        st.sampled_from(["r0", "r1", "r2"]), st.sets(clusters, min_size=1), min_size=1
    ),
    revision=st.integers(0, 1),
)
dialects = pytest.mark.parametrize("is_incremental", [True, False], ids=["delta", "sotw"])


class Wire:
    """A session and a peer, with messages under way in both directions."""

    def __init__(
        self, *, is_incremental: bool, earlier: Peer | None = None, is_sparing: bool = False
    ) -> None:
        self.session = Session(linger_s=LINGER_S, is_sparing=is_sparing)
        self.dialect = (DeltaDialect if is_incremental else SotwDialect)(self.session)
        self.peer = Peer(is_incremental=is_incremental, earlier=earlier)
        self.to_peer: deque[object] = deque()
        self.goal: Resources = {}
        self.now_s = 0.0

    def step(self) -> bool:
        """Let the server say what it has, and bring one message each way."""
        self.to_peer.extend(self.dialect.say(self.now_s))
        is_busy = bool(self.to_peer or self.peer.outbox)
        if self.to_peer:
            self.peer.take(self.to_peer.popleft())
        if self.peer.outbox:
            self.dialect.hear(self.peer.outbox.popleft())
        if self.session.is_synced and not self.session.is_sparing:
            self.check()
        return is_busy

    def check(self) -> None:
        """A proxy that is called in step holds all of the goal, in the goal's version."""
        for type_url, resources in self.goal.items():
            for name, resource in resources.items():
                assert self.peer.held[type_url].get(name) == resource, (type_url, name)

    def run(self) -> None:
        """Until nobody has anything to say."""
        for _ in range(400):
            if not self.step():
                return
        pytest.fail("they never stop talking")

    def aim(self, goal: Resources, *, keeps_old: bool = False) -> None:
        """Set the goal."""
        self.goal = goal
        self.session.aim(asyncio.run(snapshot(goal)), keeps_old=keeps_old)

    def reach(self, goal: Resources, *, keeps_old: bool = False) -> None:
        """Aim and run."""
        self.aim(goal, keeps_old=keeps_old)
        self.run()


def held(peer: Peer) -> dict[str, set[str]]:
    return {type_url: set(resources) for type_url, resources in peer.held.items()}


@dialects
@given(st.lists(worlds, min_size=1, max_size=5), st.lists(st.integers(0, 6), max_size=5))
def test_a_proxy_reaches_every_goal_and_no_route_ever_names_a_cold_cluster(
    is_incremental: bool, goals: list[Resources], pauses: list[int]
) -> None:
    wire = Wire(is_incremental=is_incremental)
    for i, resources in enumerate(goals):
        wire.aim(resources)
        # The next goal may come while messages are still under way.
        for _ in range(pauses[i] if i < len(pauses) else 50):
            wire.step()
    wire.run()
    assert wire.session.is_synced
    wire.now_s += LINGER_S
    wire.run()
    assert {t: dict(r) for t, r in goals[-1].items()} == wire.peer.held


@dialects
@given(worlds, worlds, st.integers(0, 12))
def test_turning_back_midway_waits_for_what_is_on_its_way(
    is_incremental: bool, there: Resources, back: Resources, steps: int
) -> None:
    wire = Wire(is_incremental=is_incremental)
    wire.reach(back)
    wire.aim(there)
    for _ in range(steps):
        wire.step()
    wire.aim(back)
    wire.run()
    assert wire.session.is_synced


@dialects
@given(worlds)
def test_a_proxy_that_comes_back_with_equal_content_is_told_nothing(
    is_incremental: bool, resources: Resources
) -> None:
    before = Wire(is_incremental=is_incremental)
    before.reach(resources)
    after = Wire(is_incremental=is_incremental, earlier=before.peer)
    after.reach(resources)
    assert after.session.is_synced
    assert after.peer.messages == 0


@dialects
@given(worlds, worlds)
def test_a_proxy_that_comes_back_to_other_content_finds_no_hole(
    is_incremental: bool, old: Resources, new: Resources
) -> None:
    before = Wire(is_incremental=is_incremental)
    before.reach(old)
    after = Wire(is_incremental=is_incremental, earlier=before.peer)
    if not is_incremental:
        # It cannot know what such a proxy holds besides: see `SotwDialect`.
        new = {**new, CLUSTER_TYPE: {**old[CLUSTER_TYPE], **new[CLUSTER_TYPE]}}
        new = {**new, ENDPOINT_TYPE: {**old[ENDPOINT_TYPE], **new[ENDPOINT_TYPE]}}
    after.reach(new)
    after.now_s += LINGER_S
    after.run()
    assert {t: dict(r) for t, r in new.items()} == after.peer.held


@dialects
@given(worlds, st.sets(clusters, min_size=1))
def test_what_was_refused_is_not_repeated_and_the_way_back_is_whole(
    is_incremental: bool, good: Resources, others: set[str]
) -> None:
    wire = Wire(is_incremental=is_incremental)
    wire.reach(good)
    before = held(wire.peer)
    wire.reach(small_world({"r0": {*others, BAD}}), keeps_old=True)
    assert wire.session.refusal == "cluster bad is bad"
    assert wire.session.nacks == 1
    wire.reach(good, keeps_old=True)
    wire.session.settle()
    assert wire.session.is_synced
    wire.run()
    wire.now_s += LINGER_S
    wire.run()
    assert held(wire.peer) == before


@dialects
def test_only_what_changed_is_sent(is_incremental: bool) -> None:
    wire = Wire(is_incremental=is_incremental)
    wire.reach(small_world({"r0": ["c0", "c1"], "r1": ["c0", "c1"]}))
    wire.aim(small_world({"r0": ["c0"], "r1": ["c0", "c1"]}))
    said = wire.dialect.say(0.0)
    assert [(one.type_url, len(one.resources)) for one in said] == [(ROUTE_TYPE, 1)]


@dialects
def test_a_changed_cluster_is_followed_by_its_endpoints_unasked(is_incremental: bool) -> None:
    wire = Wire(is_incremental=is_incremental)
    wire.reach(small_world({"r0": ["c0"]}))
    wire.aim(small_world({"r0": ["c0"]}, revision=1))
    said = wire.dialect.say(0.0)
    assert [one.type_url for one in said] == [CLUSTER_TYPE, ENDPOINT_TYPE]


@dialects
def test_an_unused_cluster_goes_only_after_it_has_lingered(is_incremental: bool) -> None:
    wire = Wire(is_incremental=is_incremental)
    wire.reach(small_world({"r0": ["c0", "c1"]}))
    wire.reach(small_world({"r0": ["c1"]}), keeps_old=True)
    wire.now_s += 2 * LINGER_S
    wire.run()
    assert "c0" in wire.peer.held[CLUSTER_TYPE], "another proxy has not acknowledged yet"
    wire.session.settle()
    assert wire.session.next_removal_s() == LINGER_S
    wire.run()
    assert "c0" not in wire.peer.held[CLUSTER_TYPE]
    assert wire.session.next_removal_s() is None


@dialects
def test_a_proxy_without_a_goal_is_told_nothing(is_incremental: bool) -> None:
    wire = Wire(is_incremental=is_incremental)
    wire.run()
    assert wire.peer.messages == 0
    assert not wire.session.is_synced


@dialects
@given(worlds, worlds)
def test_a_proxy_that_is_spared_keeps_whatever_it_holds(
    is_incremental: bool, newer: Resources, kept: Resources
) -> None:
    before = Wire(is_incremental=is_incremental)
    before.reach(newer)
    after = Wire(is_incremental=is_incremental, earlier=before.peer, is_sparing=True)
    after.reach(kept)
    after.now_s += 2 * LINGER_S
    after.run()
    for type_url, resources in newer.items():
        for name, resource in resources.items():
            assert after.peer.held[type_url][name] == resource


@dialects
@given(worlds)
def test_a_proxy_that_is_spared_and_holds_nothing_is_given_all(
    is_incremental: bool, kept: Resources
) -> None:
    wire = Wire(is_incremental=is_incremental, is_sparing=True)
    wire.reach(kept)
    assert wire.session.is_synced
    assert {t: dict(r) for t, r in kept.items()} == wire.peer.held


@dialects
@given(worlds, st.integers(0, 12))
def test_a_proxy_that_was_left_half_way_is_given_the_rest(
    is_incremental: bool, kept: Resources, steps: int
) -> None:
    before = Wire(is_incremental=is_incremental, is_sparing=True)
    before.aim(kept)
    for _ in range(steps):
        before.step()
    after = Wire(is_incremental=is_incremental, earlier=before.peer, is_sparing=True)
    after.reach(kept)
    assert {t: dict(r) for t, r in kept.items()} == after.peer.held
