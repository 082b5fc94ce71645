"""This module is the small shop whose checkouts own data, and a service that hands slots over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.model.forecast import Forecast
from foreshard.model.handover import Answer, Notice, Reply, Step
from foreshard.model.plan import Decision
from foreshard.model.routing import RoutingTable, SlotRow
from foreshard.model.telemetry import Observation, Outlet
from foreshard.model.workload import OwnedData, RequestClass
from foreshard.planning.handover import REST_S
from foreshard.planning.slots import owners_of
from tests.engine.shop import CELLS, CLASSES, Shop, engine_of, fleet_of, request_class

__all__ = ["REPLICAS", "DataShop", "Saying", "classes_of", "data_shop", "holders"]

Saying = Callable[[Notice, int], Answer]

REPLICAS: Mapping[str, tuple[str, ...]] = {
    "eu-1": ("eu-2", "us-1"),
    "eu-2": ("eu-3", "eu-1"),
    "eu-3": ("eu-1", "us-2"),
    "us-1": ("us-2", "eu-1"),
    "us-2": ("us-3",),
    "us-3": ("us-1",),
}


def classes_of(handover_s: float | None = 5.0) -> tuple[RequestClass, ...]:
    """The shop's classes; checkouts own data."""
    data = OwnedData(replicas=REPLICAS, handover_s=handover_s)
    return (request_class("checkout", data=data), *CLASSES[1:])


def holders(table: RoutingTable | None) -> NDArray[np.int64]:
    """[N] who holds the data of every slot of checkout, by index."""
    assert table is not None
    row = table.classes[0].holders
    assert row is not None
    return owners_of(row, {name: i for i, name in enumerate(CELLS)})


def _at_once(notice: Notice, times: int) -> Answer:
    return Answer.READY if notice.step is Step.PREPARE else Answer.DONE


@dataclass
class DataShop(Shop):
    """A shop that keeps watch: traffic follows data, to declared replicas, and moves once.

    Attributes:
        answer: What the service says to a notice that it was told so many times before.
        outlet: What the loop says of the sink.
        told: Every notice, once.
        ready: Hand-overs that the service called ready, with source and target, by slot.
    """

    answer: Saying = _at_once
    outlet: Outlet = Outlet.OPEN
    told: dict[tuple[str, Step], Notice] = field(default_factory=dict)
    times: dict[tuple[str, Step], int] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    ready: dict[tuple[int, str, str], float] = field(default_factory=dict)
    moved_s: dict[int, float] = field(default_factory=dict)

    def observe(self) -> Observation:
        """As the shop, with what the service and the loop said."""
        taken, self.replies = tuple(self.replies), []
        return replace(super().observe(), replies=taken, outlet=self.outlet)

    def tick(self, forecast: Forecast | None = None) -> Decision:
        """One second, watched."""
        before = self.state.table
        decision = super().tick(forecast)
        if before is not None:
            self._watch(before)
        for notice in decision.notices:
            key = notice.handover, notice.step
            answer = self.answer(notice, self.times.get(key, 0))
            self.told[key] = notice
            self.times[key] = self.times.get(key, 0) + 1
            self.replies.append(
                Reply(handover=notice.handover, step=notice.step, answer=answer, because="said")
            )
            if notice.step is Step.PREPARE and answer is Answer.READY:
                for slot in range(notice.first, notice.end):
                    self.ready[slot, notice.source, notice.target] = self.now_s
        return decision

    def steps(self, step: Step) -> list[Notice]:
        """What the service was told of one kind, each once."""
        return [notice for (_, said), notice in self.told.items() if said is step]

    def restart(self) -> None:
        """Forget everything but the live table and the memory, as a new process would."""
        kept = self.engine.memory(self.state)
        self.state = self.engine.begin(self.state.table, kept, now_s=self.now_s)

    def _watch(self, before: RoutingTable) -> None:
        after = self.state.table
        assert after is not None
        muster = self.state.muster
        was, now = holders(before), holders(after)
        for slot in np.flatnonzero(was != now).tolist():
            source, target = CELLS[was[slot]], CELLS[now[slot]]
            assert target in REPLICAS[source], f"slot {slot} went from {source} to {target}"
            if source not in muster.dead:
                assert (slot, source, target) in self.ready, f"slot {slot} precedes its data"
                assert target in muster.fit
            rested_s = self.now_s - self.moved_s.get(slot, float("-inf"))
            assert rested_s >= REST_S or source in muster.leaving, f"slot {slot} bounces"
            self.moved_s[slot] = self.now_s
        for row in after.classes[0].rows.values():
            assert isinstance(row, SlotRow)
            shown = owners_of(row, {name: i for i, name in enumerate(CELLS)})
            assert ((shown == now) | (shown < 0)).all(), "a cell serves what another holds"


def data_shop(
    *,
    handover_s: float | None = 5.0,
    origins: Sequence[str] = ("eu",),
    answer: Saying = _at_once,
) -> DataShop:
    """A running shop whose demand is known."""
    fleet = fleet_of()
    engine = engine_of(fleet, classes=classes_of(handover_s), origins=origins)
    shop = DataShop(engine=engine, fleet=fleet, origins=origins, answer=answer)
    shop.run(12)
    return shop
