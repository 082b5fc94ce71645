"""This module is a change of request classes tried in thought: what would it move?

Both engines, the one that flies and the heir, go on for some turns from the same state, see the
same fleet in each, and find every table applied. What the heir's plan gives to other cells than
the other one's is what the change moves; what would have moved anyway is in neither. Requests
that change their class are counted under the new one, as far as it is said how many they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from foreshard.engine.decision import Engine
from foreshard.engine.inheritance import inherited
from foreshard.engine.relabelling import relabelled
from foreshard.engine.state import EngineState
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Plan, Split
from foreshard.model.telemetry import Observation
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.table import plan_of

__all__ = ["FlowMove", "Rehearsal", "Served", "receivers", "rehearse"]

# A change is planned at once; what a budget holds back follows within seconds.
TURNS = 12
NOTHING = Split(shares={}, shed=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An engine and what it serves.

    Attributes:
        engine: It decides.
        classes: In order of match.
        default_class: Of requests that match none.
    """

    engine: Engine
    classes: Sequence[RequestClass]
    default_class: str

    def taker_of(self, other: RequestClass) -> str:
        """Name of the class that gets the requests of another one, as far as can be told."""
        found = next((c.name for c in self.classes if c.match.covers(other.match)), None)
        return found or self.default_class


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMove:
    """What becomes of one flow.

    Attributes:
        flow: Of the classes after the change.
        demand_rps: That it is reckoned to have.
        moved_ratio: Part of it that another cell serves, or nobody.
        before: By cell, its shares without the change.
        after: With it.
        shed_before: Part that is turned away without the change.
        shed_after: With it.
    """

    flow: Flow
    demand_rps: float
    moved_ratio: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    shed_before: float
    shed_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came of it.

    Attributes:
        demand_rps: Of the fleet.
        moves: Every flow, the one with most moved requests first.
        at_most_rps: By new class, what it could take at most of the classes that get its
            requests now; how much of that it takes nobody has counted.
    """

    demand_rps: float
    moves: tuple[FlowMove, ...]
    at_most_rps: Mapping[str, float]

    @property
    def moved_ratio(self) -> float:
        """Part of the fleet's traffic that would be served elsewhere, or not at all."""
        moved = sum(each.moved_ratio * each.demand_rps for each in self.moves)
        return moved / self.demand_rps if self.demand_rps > 0.0 else 0.0

    @property
    def shed_more_ratio(self) -> float:
        """Part of the fleet's traffic that would be turned away and is not now; < 0 = less."""
        more = sum((each.shed_after - each.shed_before) * each.demand_rps for each in self.moves)
        return more / self.demand_rps if self.demand_rps > 0.0 else 0.0


def receivers(now: Served, then: Served) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Who gets the requests of classes that go, and who has those of classes that come."""
    stay = {c.name for c in now.classes} & {c.name for c in then.classes}
    gone = {c.name: then.taker_of(c) for c in now.classes if c.name not in stay}
    come = {c.name: now.taker_of(c) for c in then.classes if c.name not in stay}
    return gone, come


def rehearse(
    now: Served,
    then: Served,
    state: EngineState,
    observation: Observation,
    forecast: Forecast | None,
    *,
    taken_ratio: float = 0.0,
) -> Rehearsal:
    """Try a change.

    Args:
        now: That flies.
        then: The heir.
        state: Settled.
        observation: That it was decided from.
        forecast: The newest.
        taken_ratio: Part of the traffic of the class that has its requests now, in [0, 1], that
            a new class is reckoned to take.
    """
    gone, come = receivers(now, then)
    seen = relabelled(observation, gone, come, taken_ratio)
    before = _flown(now.engine, state, observation, forecast)
    begun = inherited(state, former=now.engine, heir=then.engine, now_s=observation.now_s)
    after = _flown(then.engine, begun, seen, forecast)
    asked = observation.demand_rps or {}
    moves = []
    for flow, split in after.splits.items():
        was = before.splits.get(
            Flow(flow.origin, come.get(flow.request_class, flow.request_class))
        )
        moves.append(_move(flow, was or NOTHING, split, (seen.demand_rps or {}).get(flow, 0.0)))
    moves = [_with_gone(each, before, asked, gone) for each in moves]
    return Rehearsal(
        demand_rps=sum(asked.values()),
        moves=tuple(sorted(moves, key=lambda m: (-m.moved_ratio * m.demand_rps, m.flow))),
        at_most_rps={
            name: sum(rate for flow, rate in asked.items() if flow.request_class == donor)
            for name, donor in come.items()
        },
    )


def _flown(
    engine: Engine, state: EngineState, observation: Observation, forecast: Forecast | None
) -> Plan:
    """The plan after some turns in which nothing changes but the time."""
    for turn in range(1, TURNS + 1):
        passed_s = turn * observation.interval_s
        seen = replace(observation, now_s=observation.now_s + passed_s, replies=())
        told = forecast and replace(forecast, made_at_s=forecast.made_at_s + passed_s)
        state, _ = engine.step(state, seen, told)
        state = engine.settle(state, applied=True)
    assert state.table is not None  # noqa: S101 - a step makes one
    # As balancers hold to it: what is rounded away there moves nobody.
    return plan_of(state.table)


def _move(flow: Flow, was: Split, split: Split, demand_rps: float) -> FlowMove:
    return FlowMove(
        flow=flow,
        demand_rps=demand_rps,
        moved_ratio=_apart(was, split),
        before=was.shares,
        after=split.shares,
        shed_before=was.shed,
        shed_after=split.shed,
    )


def _with_gone(
    move: FlowMove, before: Plan, asked: Mapping[Flow, float], gone: Mapping[str, str]
) -> FlowMove:
    """The same, with requests of classes that have gone into it counted from where they were."""
    split = Split(shares=move.after, shed=move.shed_after)
    others = [
        (
            asked.get(Flow(move.flow.origin, name), 0.0),
            before.splits.get(Flow(move.flow.origin, name)),
        )
        for name, taker in gone.items()
        if taker == move.flow.request_class
    ]
    came = sum(rate for rate, _ in others)
    if not came > 0.0:
        return move
    own = max(move.demand_rps - came, 0.0)
    moved = own * move.moved_ratio + sum(rate * _apart(s or NOTHING, split) for rate, s in others)
    return replace(move, moved_ratio=moved / move.demand_rps)


def _apart(one: Split, other: Split) -> float:
    """Part that goes elsewhere: half the sum of differences, what is shed among them."""
    cells = {*one.shares, *other.shares}
    total = sum(abs(one.share(cell) - other.share(cell)) for cell in cells)
    return min(1.0, 0.5 * (total + abs(one.shed - other.shed)))
