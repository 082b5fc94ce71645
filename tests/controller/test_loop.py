from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from foreshard.controller.herald import announce
from foreshard.controller.loop import VERIFY_AFTER_S, Loop
from foreshard.controller.peering import Peering
from foreshard.controller.status import Instruments
from foreshard.controller.world import World
from foreshard.engine import Engine
from foreshard.model.errors import SinkError
from foreshard.model.federation import Aggregate, Membership
from foreshard.model.handover import Step
from foreshard.model.plan import Act, Decision, Hold, Mode, Reason
from foreshard.model.routing import RoutingTable
from foreshard.model.telemetry import CellMetrics, ClassTraffic, Gauge
from foreshard.model.workload import Flow, RequestClass
from foreshard.ports import (
    Applied,
    BalancerReading,
    CellDriver,
    EventSource,
    Heard,
    Rejected,
)
from foreshard.testing import (
    FakeCellDriver,
    FakeCellSource,
    FakeClock,
    FakeEventSource,
    FakeRouteSink,
    FakeSlotMover,
    FakeTrafficSource,
    MemoryStore,
)
from tests.engine.data_shop import classes_of
from tests.engine.shop import (
    CELLS,
    CLASSES,
    RATES,
    START_S,
    engine_of,
    fleet_of,
    maintenance,
    share_of,
)

DATA = classes_of()


class ForgetfulSink(FakeRouteSink):
    """A sink whose answers can be lost on their way: what was sent is live all the same."""

    loses = False

    async def apply(self, table: RoutingTable) -> Applied | Rejected:
        """As the fake, but the answer may not arrive."""
        outcome = await super().apply(table)
        if self.loses:
            self.cut("no route to host")
            raise SinkError("connection reset")
        return outcome


class Peers:
    """A `PeerExchange` in which nobody else speaks."""

    def __init__(self) -> None:
        self.told: list[Aggregate] = []

    def publish(self, own: Aggregate) -> None:
        self.told.append(own)

    def heard(self) -> Mapping[str, Heard]:
        return {}


class Stage:
    """A loop between fakes; `turn` is one second."""

    def __init__(
        self,
        live: RoutingTable | None = None,
        *,
        store: MemoryStore | None = None,
        with_driver: bool = True,
        with_events: bool = True,
        classes: Sequence[RequestClass] = CLASSES,
        mode: Mode = Mode.ACT,
        peering: Peering | None = None,
    ) -> None:
        self.clock = FakeClock(start_s=START_S)
        self.cells = FakeCellSource()
        self.traffic = FakeTrafficSource()
        self.events = FakeEventSource()
        self.sink = ForgetfulSink(live)
        self.mover = FakeSlotMover()
        self.driver = FakeCellDriver()
        self.store = store or MemoryStore()
        self.engine: Engine = engine_of(fleet_of(), classes=classes)
        driver: CellDriver | None = self.driver if with_driver else None
        events: EventSource | None = self.events if with_events else None
        world = World(
            clock=self.clock,
            cells=self.cells,
            traffic=self.traffic,
            events=events,
            sink=self.sink,
            driver=driver,
            store=self.store,
            mover=self.mover,
            peering=peering,
        )
        self.loop = Loop(self.engine, fleet_of(), world, foresight=None, tick_s=1.0, mode=mode)
        self.serve()

    def serve(self, *, down: tuple[str, ...] = (), even: bool = True) -> None:
        """Every cell but those down serves its part."""
        table = None if even else self.live
        traffic = {}
        for cell in CELLS:
            rates = {
                name: rate * (share_of(table, name, cell) if table else 1 / 6)
                for name, rate in RATES.items()
            }
            metrics = CellMetrics(
                gauges={"cpu": Gauge(used=1.86, limit=3.0, scales_with_load=True)},
                capacity={"cpu": 3.0},
            )
            if cell in down:
                self.cells.kill(cell)
            else:
                self.cells.tell(cell, metrics)
            traffic[cell] = {
                name: ClassTraffic(rate_rps=rate, latency_mean_s=0.05)
                for name, rate in rates.items()
            }
        demand = {Flow("eu", name): rate for name, rate in RATES.items()}
        self.traffic.tell(
            BalancerReading(interval_s=1.0, traffic=traffic, demand_rps=demand, in_flight={})
        )

    @property
    def live(self) -> RoutingTable:
        return self.sink.applied[-1]

    async def turn(self, times: int = 1) -> Decision:
        decision = None
        for _ in range(times):
            self.clock.advance(1.0)
            decision = await self.loop.tick()
            await asyncio.sleep(0)
        assert decision is not None
        return decision

    async def wait(self, times: int) -> None:
        """Turns in which nothing need be decided."""
        for _ in range(times):
            self.clock.advance(1.0)
            await self.loop.tick()

    def empty(self, cell: str) -> None:
        """Announce a window, so that the cell's data has to move."""
        at_s = self.clock.now_s() - START_S
        window = maintenance(cell, known_s=at_s, starts_s=at_s + 12.0, ends_s=at_s + 900.0)
        self.events.announce(window)

    def told(self, step: Step) -> set[str]:
        """Hand-overs of which the service was told so."""
        return {n.handover for n in self.mover.told if n.step is step}

    def status(self) -> Mapping[str, Any]:
        found = self.store.get("status")
        assert found is not None
        return found


def events_of(logs: list[Any]) -> list[str]:
    return [entry["event"] for entry in logs]


async def test_the_first_table_goes_out_and_is_recorded() -> None:
    stage = Stage()
    decision = await stage.turn()
    assert isinstance(decision.routing, Act)
    assert [t.version for t in stage.sink.applied] == [1]
    assert stage.status()["version"] == 1
    assert stage.store.records[0]["decision"]["routing"]["kind"] == "act"


async def test_a_loop_adopts_the_live_table_and_touches_nothing() -> None:
    first = Stage()
    await first.turn(12)
    second = Stage(first.live, store=first.store)
    await second.turn(20)
    assert second.sink.applied == []
    assert second.status()["version"] == first.live.version


async def test_a_loop_that_starts_while_the_sink_is_away_adopts_once_it_answers() -> None:
    first = Stage()
    await first.turn(12)
    second = Stage(first.live)
    second.sink.cut("no route to host")
    with capture_logs() as logs:
        await second.wait(5)
    assert "sink.unreachable" in events_of(logs)
    second.sink.cut("")
    await second.turn(20)
    assert second.sink.applied == []


async def test_a_sink_that_went_away_is_said_and_the_table_goes_out_when_it_is_back() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.sink.cut("connection reset")
    stage.serve(down=("us-2",))
    with capture_logs() as logs:
        await stage.turn(3)
    said = [event for event in events_of(logs) if event not in {"decision", "cell.silent"}]
    assert said == ["plan.unsent", "sink.unreachable"]
    assert len(stage.sink.applied) == 1
    stage.sink.cut("")
    await stage.turn()
    assert share_of(stage.live, "checkout", "us-2") == 0.0


async def test_a_rejected_table_is_said_and_counted_and_the_live_one_stays() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.sink.refuse("no such cluster")
    stage.serve(down=("us-2",))
    with capture_logs() as logs:
        await stage.turn(7)
    said = [entry for entry in logs if entry["event"] == "plan.rejected"]
    assert {entry["because"] for entry in said} == {"no such cluster"}
    assert 2 <= len(said) <= 3, "tried again, and not every second"
    assert stage.status()["engine"]["rejections"] == len(said)
    assert share_of(stage.live, "checkout", "us-2") > 0.1


async def test_failover_goes_on_without_a_store_and_it_is_said() -> None:
    stage = Stage()
    stage.store.fail("disk full")
    with capture_logs() as logs:
        await stage.turn(12)
        stage.serve(down=("us-2",))
        await stage.turn()
    assert "store.unwritable" in events_of(logs)
    assert share_of(stage.live, "checkout", "us-2") == 0.0


async def test_a_restart_that_the_driver_refuses_is_said_and_asked_for_again() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.driver.refuse("quota")
    stage.serve(down=("us-2",))
    with capture_logs() as logs:
        await stage.turn(45)
    assert events_of(logs).count("cell.recycle_failed") == 2
    stage.driver.refuse("")
    await stage.turn(20)
    assert stage.driver.recycled == ["us-2"]


async def test_without_a_driver_a_person_is_told_which_cell_wants_a_restart() -> None:
    stage = Stage(with_driver=False)
    await stage.turn(12)
    stage.serve(down=("us-2",))
    with capture_logs() as logs:
        await stage.turn(25)
    assert [e["cell"] for e in logs if e["event"] == "cell.no_driver"] == ["us-2"]


async def test_events_that_cannot_be_read_are_kept_as_they_were() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.events.announce(maintenance("eu-3", known_s=0.0, starts_s=20.0, ends_s=60.0))
    await stage.turn()
    stage.events.fail("torn file")
    with capture_logs() as logs:
        await stage.turn(8)
    assert events_of(logs).count("events.kept") == 1, "once a minute is enough"
    assert share_of(stage.live, "checkout", "eu-3") == 0.0


async def test_without_any_source_of_events_the_loop_runs() -> None:
    stage = Stage(with_events=False)
    assert isinstance((await stage.turn(12)).routing, Hold)


async def test_silent_sources_hold_the_plan_and_the_record_says_so() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.traffic.silence("timeout")
    for cell in CELLS:
        stage.cells.silence(cell)
    decision = await stage.turn(10)
    assert len(stage.sink.applied) == 1
    assert [r.code for r in decision.routing.because] == ["telemetry.stale"]
    inputs = stage.store.records[-1]["inputs"]
    assert (inputs["stale_cells"], inputs["balancer_silent"]) == (6, True)


async def test_the_same_reason_is_logged_once_while_it_stands() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.traffic.silence()
    with capture_logs() as logs:
        await stage.turn(5)
        stage.serve()
        await stage.turn(2)
        stage.traffic.silence()
        await stage.turn(2)
    assert events_of(logs).count("decision") == 2


async def test_a_reason_of_many_cells_is_not_a_line_for_each() -> None:
    stage = Stage()
    await stage.turn(12)
    reasons = [Reason(subject=f"c-{n:03}", code="cell.odd", text="is odd") for n in range(300)]
    decision = replace(await stage.turn(), routing=Hold(because=tuple(reasons)))
    with capture_logs() as logs:
        announce(decision, Instruments())
    told = [entry for entry in logs if entry["event"] == "decision"]
    assert len(told) == 11
    assert (told[0]["cell"], told[-1]["count"], told[-1]["more"]) == ("c-000", 300, 290)


async def test_after_a_push_it_is_checked_that_traffic_followed() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.serve(down=("us-2",))
    with capture_logs() as logs:
        await stage.turn()
        stage.serve(down=("us-2",), even=False)
        await stage.turn(int(VERIFY_AFTER_S) + 1)
    assert events_of(logs).count("traffic.followed") == 1


async def test_traffic_that_did_not_follow_is_said() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.serve(down=("us-2",))
    with capture_logs() as logs:
        await stage.turn(int(VERIFY_AFTER_S) + 2)
    strayed = [e for e in logs if e["event"] == "traffic.strayed"]
    assert {e["cell"] for e in strayed} == {"us-2"}


async def test_what_is_remembered_survives_a_restart() -> None:
    first = Stage()
    await first.turn(12)
    first.serve(down=("us-2",))
    await first.turn()
    second = Stage(first.live, store=first.store)
    second.serve(down=("us-2",))
    decision = await second.turn()
    assert decision.phases["us-2"] == "recycling"
    assert second.sink.applied == []


async def test_it_ticks_each_second_until_it_is_told_to_stop() -> None:
    stage = Stage()
    stop = asyncio.Event()

    async def end() -> None:
        await stage.clock.sleep(9.5)
        stop.set()

    await asyncio.gather(stage.loop.run(stop), end())
    assert stage.status()["engine"]["ticks"] == 10
    assert stage.clock.now_s() == pytest.approx(START_S + 10.0)


async def test_a_heartbeat_stops_when_the_sink_dies_while_nothing_is_sent() -> None:
    stage = Stage()
    await stage.turn(12)
    stage.sink.cut("no route to host")
    await stage.wait(30)
    beat_s = stage.loop.vitals.heartbeat_s
    assert beat_s is not None
    assert stage.clock.now_s() - beat_s >= 15.0
    assert stage.loop.vitals.turns["unsent"] >= 15
    stage.sink.cut("")
    await stage.wait(1)
    assert stage.loop.vitals.heartbeat_s == stage.clock.now_s()


async def test_a_sink_that_hangs_holds_up_a_turn_for_moments_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    await stage.turn(12)

    async def hang() -> RoutingTable | None:
        await asyncio.sleep(3_600)
        return None

    monkeypatch.setattr(stage.sink, "live", hang)
    monkeypatch.setattr("foreshard.controller.loop.ASK_WITHIN_S", 0.01)
    async with asyncio.timeout(10):
        await stage.wait(30)
    assert stage.loop.vitals.turns["unsent"] >= 15


async def test_what_another_hand_made_live_is_found_out_and_adopted() -> None:
    stage = Stage()
    await stage.turn(12)
    other = replace(stage.live, version=stage.live.version + 7)
    await stage.sink.apply(other)
    await stage.wait(12)
    assert stage.status()["version"] == other.version


async def test_a_lost_answer_makes_no_hand_over_fail() -> None:
    stage = Stage(classes=DATA)
    await stage.turn(12)
    stage.empty("eu-2")
    while not stage.told(Step.PREPARE):
        await stage.turn()
    stage.sink.loses = True
    await stage.turn(20)
    asked = stage.told(Step.PREPARE)
    assert not stage.told(Step.FAILED), "the new cell has the traffic"
    stage.sink.loses = False
    stage.sink.cut("")
    await stage.turn(2)
    assert asked <= stage.told(Step.MOVED)


async def test_while_the_plan_is_frozen_nothing_is_copied() -> None:
    stage = Stage(classes=DATA)
    await stage.turn(12)
    stage.sink.refuse("frozen: by hand")
    stage.empty("eu-2")
    await stage.turn(90)
    copied = len(stage.told(Step.PREPARE))
    stage.sink.refuse("")
    await stage.turn(20)
    assert copied <= 2, "before the first table was refused"
    assert share_of(stage.live, "checkout", "eu-2") == 0.0


async def test_a_thaw_is_noticed_though_nothing_but_data_is_to_move() -> None:
    stage = Stage(classes=DATA[:1])
    await stage.turn(12)
    stage.sink.refuse("frozen: by hand")
    stage.serve(down=("us-3",))
    await stage.turn()
    stage.serve()
    await stage.turn(60)
    assert isinstance((await stage.turn()).routing, Hold), "nothing is wanted any more"
    small = CellMetrics(
        gauges={"cpu": Gauge(used=1.86, limit=2.25, scales_with_load=True)}, capacity={"cpu": 2.25}
    )
    stage.cells.tell("eu-1", small)
    await stage.turn(20)
    assert isinstance((await stage.turn()).routing, Hold)
    assert not stage.told(Step.PREPARE)
    stage.sink.refuse("")
    await stage.turn(10)
    assert stage.told(Step.PREPARE)


async def test_a_loop_that_only_watches_asks_nobody() -> None:
    first = Stage(classes=DATA)
    await first.turn(12)
    stage = Stage(first.live, classes=DATA, mode=Mode.OBSERVE)
    stage.empty("eu-2")
    await stage.turn(20)
    assert not stage.mover.told
    codes = {r["code"] for r in stage.store.records[-1]["decision"]["routing"]["because"]}
    assert "handover.waits" in codes


async def test_a_region_tells_its_peers_what_it_grants_as_long_as_it_sees() -> None:
    peers = Peers()
    membership = Membership(region="eu", inbound="eu-in", peers=("ap",))
    stage = Stage(peering=Peering(exchange=peers, membership=membership, ceiling=0.85))
    await stage.turn(10)
    granted = peers.told[-1].grants["ap"]["cpu"]
    assert granted > 0.0
    assert stage.status()["federation"]["grants"] == {"ap": {"cpu": granted}}
    # What looks dead serves no guests, though nobody is taken out while all look dead.
    stage.serve(down=CELLS)
    await stage.wait(1)
    assert peers.told[-1].grants["ap"]["cpu"] == 0.0
    stage.traffic.silence()
    said = len(peers.told)
    await stage.wait(3)
    assert len(peers.told) == said
