"""This module is the loop: observe, forecast, plan, vet, apply, verify, once every tick.

It holds no judgement of its own. Whatever it asks of the outside world may fail; then it says
so, keeps what is live, and goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from foreshard.controller.errands import Teller, recycle
from foreshard.controller.foresight import Foresight
from foreshard.controller.hearing import Hearing
from foreshard.controller.herald import announce
from foreshard.controller.keeping import Keeping, Lived
from foreshard.controller.observe import observation_of
from foreshard.controller.succession import Sight, hand_on
from foreshard.controller.tidings import FEW, Reminder
from foreshard.controller.verify import strays
from foreshard.controller.vitals import Vitals, turn_of
from foreshard.controller.world import World
from foreshard.engine import Engine, EngineState
from foreshard.engine.inheritance import inherited
from foreshard.model.errors import SinkError, SourceError, StoreError
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Act, Decision, Mode, Plan, Recycle
from foreshard.model.telemetry import Observation, Outlet
from foreshard.model.topology import Fleet
from foreshard.planning.phases import Phase
from foreshard.ports import (
    Applied,
    Rejected,
)

__all__ = ["Loop"]

log = structlog.get_logger(__name__)

# After a push, requests already under way need this long to finish at the old cell.
VERIFY_AFTER_S = 4.0
# What was refused is likely to be refused again: the balancers are left alone for a moment.
REJECTED_PAUSE_S = 3.0
# A sink that nothing is sent to for so long is asked whether it is still there, and what is live;
# nobody waits for a hung one longer than a tick or two.
ASK_AFTER_S, ASK_WITHIN_S = 10.0, 2.0
# What the engine says of data that it leaves alone because no table is taken.
WAITS = "handover.waits"


class Loop:
    """Drives one engine over one fleet.

    Args:
        engine: Decides.
        fleet: The cells.
        world: The ports.
        foresight: Keeps the forecast fresh; None = no forecasts at all.
        tick_s: Time from one look to the next.
        mode: OBSERVE decides and records, and touches nothing once there is something live; a
            proxy that has nothing to serve gets the even plan first.
    """

    def __init__(
        self,
        engine: Engine,
        fleet: Fleet,
        world: World,
        *,
        foresight: Foresight | None,
        tick_s: float,
        mode: Mode = Mode.ACT,
    ) -> None:
        self._engine = engine
        self._fleet = fleet
        self._world = world
        self._foresight = foresight
        self._tick_s = tick_s
        self._mode = mode
        self._outcome = "applied"
        self._push_at_s = self._asked_s = float("-inf")
        self._is_shut = False
        self._events: tuple[SystemEvent, ...] = ()
        self._state: EngineState | None = None
        self._is_adopted = False
        self._verify_at_s = float("inf")
        self._keeping = Keeping(
            engine=engine,
            fleet=fleet,
            store=world.store,
            vitals=world.vitals,
            peering=world.peering,
        )
        self._instruments = self._keeping.instruments
        self._errands: set[asyncio.Task[None]] = set()
        self._teller = Teller(world.mover)
        self._hearing = Hearing(fleet)
        self._no_sink, self._no_events = Reminder(), Reminder()
        self._handled: frozenset[str] = frozenset()

    @property
    def vitals(self) -> Vitals:
        """Its signs of life."""
        return self._world.vitals

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until `stop` is set; a tick that took too long is followed at once."""
        clock = self._world.clock
        await self._adopt()
        due_s = clock.now_s()
        while not stop.is_set():
            await self.tick()
            if self._world.sweep is not None:
                self._world.sweep.after_turn()
            due_s = max(due_s + self._tick_s, clock.now_s())
            await clock.sleep(due_s - clock.now_s())
        if self._foresight is not None:
            await self._foresight.aclose()
        world = self._world
        for companion in (world.chronicle, world.billing, world.scouting):
            if companion is not None:
                await companion.aclose()
        await self._teller.aclose()
        await asyncio.gather(*self._errands)

    async def tick(self) -> Decision | None:
        """One turn of the loop; returns what was decided, None until it is known what is live."""
        self._succeed()
        decision = await self._turn()
        turn = turn_of(decision, self._outcome)
        self._world.vitals.turned(turn, now_s=self._world.clock.now_s())
        return decision

    async def _turn(self) -> Decision | None:
        if not self._is_adopted:
            await self._adopt()
        observation = await self._observe()
        self._hearing.cells(observation.cells, now_s=observation.now_s)
        self._hearing.events(observation.events)
        if self._world.chronicle is not None:
            self._world.chronicle.take(observation, censored=self._handled)
        if self._foresight is not None:
            self._foresight.take(observation)
        if self._state is None:
            return None
        forecast = self._foresight.latest if self._foresight else None
        before = self._state
        began = time.perf_counter()
        self._state, decision = self._engine.step(self._state, observation, forecast)
        self._instruments.tick_s.append(time.perf_counter() - began)
        self._profile(self._state, observation)
        # What such a cell does is our doing as well: nothing is learned from its being well.
        self._handled = frozenset(c for c, p in decision.phases.items() if p != Phase.ACTIVE)
        announce(decision, self._instruments)
        if isinstance(decision.routing, Act):
            await self._apply(decision.routing)
        else:
            self._outcome = "applied"  # nothing is wanted that is not live
            await self._knock(decision)
            await self._look_after_sink()
        for wanted in decision.recycle:
            self._errand(wanted)
        self._verify(observation)
        # What is kept is what became live, not what was wished for.
        lived = replace(decision, plan=self._state.plan or decision.plan)
        self._keep(lived, observation, before.plan)
        # Only what is remembered is asked for: a restart must know what it began.
        if self._mode is not Mode.OBSERVE:
            self._teller.tell(decision.notices)
        if self._world.recording is not None:
            self._world.recording.keep(before, observation, forecast, decision, self._state)
        self._show(self._state, observation, forecast)
        return decision

    def _profile(self, state: EngineState, observation: Observation) -> None:
        if self._world.profiling is not None:
            self._world.profiling.take(observation, state.workload.count)
        if self._world.billing is not None:
            self._world.billing.look(observation.now_s)
        if self._world.scouting is not None:
            self._world.scouting.look(observation.now_s)

    def _show(
        self, state: EngineState, observation: Observation, forecast: Forecast | None
    ) -> None:
        if self._world.succession is not None:
            self._world.succession.see(
                Sight(engine=self._engine, state=state, observation=observation, forecast=forecast)
            )

    def _succeed(self) -> None:
        """Fly on with other classes, if they have changed: the live table stays live."""
        world = self._world
        heir = world.succession.due() if world.succession is not None else None
        if heir is None:
            return
        if self._state is not None:
            now_s = self._world.clock.now_s()
            self._state = inherited(
                self._state, former=self._engine, heir=heir.engine, now_s=now_s
            )
        self._engine = self._keeping.engine = heir.engine
        learners = (self._foresight, world.chronicle, world.profiling, world.scouting)
        hand_on(heir, learners, recording=world.recording, vitals=world.vitals)

    async def _adopt(self) -> None:
        """Start from what is live, so that a restart, ours or the sink's, changes nothing."""
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                live = await self._world.sink.live()
        except (SinkError, TimeoutError) as error:
            because = str(error) or f"no answer within {ASK_WITHIN_S:g} s"
            if self._no_sink.is_due(because, self._world.clock.now_s()):
                log.warning(
                    "sink.unreachable",
                    error=because,
                    effect="nothing is steered until it answers",
                )
            return
        self._no_sink.end()
        now_s = self._world.clock.now_s()
        self._is_adopted, self._asked_s = True, now_s
        if self._state is None:
            self._state = self._engine.begin(live, self._remembered(), now_s=now_s)
        elif live == self._state.table and not self._state.unsettled:
            return  # as we left it
        else:
            self._state = self._engine.adopt(self._state, live)
        log.info("plan.adopted", version=live.version if live else 0)

    async def _look_after_sink(self) -> None:
        """Find out that a sink is gone before something has to be sent to it."""
        if self._is_adopted and self._world.clock.now_s() >= self._asked_s + ASK_AFTER_S:
            self._is_adopted = False
            await self._adopt()
        if not self._is_adopted:
            self._outcome = "unsent"

    def _remembered(self) -> Mapping[str, Any]:
        try:
            kept = self._world.store.get("memory")
        except StoreError as error:
            log.warning("store.unreadable", error=str(error))
            return {}
        return kept if isinstance(kept, Mapping) else {}

    async def _observe(self) -> Observation:
        world = self._world
        said, seen = await asyncio.gather(
            world.cells.read(self._fleet.cells), world.traffic.read()
        )
        self._hearing.balancers(seen, now_s=world.clock.now_s())
        if world.events is not None:
            try:
                self._events = await world.events.read()
                self._no_events.end()
            except SourceError as error:
                if self._no_events.is_due(str(error), world.clock.now_s()):
                    log.warning("events.kept", error=str(error), events=len(self._events))
        seen_now = observation_of(
            self._fleet,
            now_s=world.clock.now_s(),
            interval_s=self._tick_s,
            said=said,
            seen=seen,
            events=self._events,
            replies=self._teller.take(),
        )
        return replace(seen_now, outlet=self._outlet())

    def _outlet(self) -> Outlet:
        """Whether tables reach the balancers, as far as the last one has shown."""
        if not self._is_adopted:
            return Outlet.UNKNOWN
        watches = self._mode is Mode.OBSERVE and self._state is not None and self._state.table
        return Outlet.SHUT if self._is_shut or watches else Outlet.OPEN

    async def _apply(self, act: Act) -> None:
        assert self._state is not None  # noqa: S101 - a decision was made from it
        if self._mode is Mode.OBSERVE and self._state.table is not None:
            self._state = self._engine.settle(self._state, applied=False)
            self._outcome = "observed only"
            self._world.vitals.plans["observed"] += 1
            return
        if not self._is_adopted:
            # A plan made in ignorance of the live one would take its place.
            self._state = self._engine.settle(self._state, applied=False)
            self._outcome = "unsent"
            return
        if self._world.clock.now_s() < self._push_at_s:
            self._state = self._engine.settle(self._state, applied=False)
            return
        try:
            outcome = await self._world.sink.apply(act.table)
        except SinkError as error:
            log.warning("plan.unsent", version=act.table.version, error=str(error))
            self._state = self._engine.settle(self._state, applied=False)
            # Whether it arrived is not known: what is live is asked for before the next plan.
            self._is_adopted = False
            self._outcome = "unsent"
            self._world.vitals.plans["unsent"] += 1
            return
        self._asked_s = self._world.clock.now_s()
        applied = isinstance(outcome, Applied)
        self._is_shut = not applied
        self._state = self._engine.settle(self._state, applied=applied)
        if isinstance(outcome, Rejected) and outcome.because.startswith("frozen"):
            if self._outcome != "frozen":
                log.warning("plan.frozen", because=outcome.because)
            self._outcome = "frozen"
            self._push_at_s = self._world.clock.now_s() + REJECTED_PAUSE_S
            return
        self._outcome = "applied" if applied else "rejected"
        self._world.vitals.plans[self._outcome] += 1
        if isinstance(outcome, Applied):
            if outcome.acks:
                self._instruments.push_to_ack_s.append(outcome.push_to_ack_s)
            else:
                log.warning("plan.unheard", version=outcome.version, effect="no balancer listens")
            self._verify_at_s = self._world.clock.now_s() + VERIFY_AFTER_S
            log.info("plan.applied", version=outcome.version, acks=outcome.acks)
        else:
            self._instruments.rejections += 1
            self._push_at_s = self._world.clock.now_s() + REJECTED_PAUSE_S
            because = outcome.because.strip().splitlines()[-1:]
            log.error("plan.rejected", version=outcome.version, because="".join(because))

    async def _knock(self, decision: Decision) -> None:
        """Send what is live once more if something waits for tables to be taken again."""
        table = self._state.table if self._state is not None else None
        waits = any(reason.code == WAITS for reason in decision.routing.because)
        is_due = self._world.clock.now_s() >= self._push_at_s
        if table is None or not (self._is_shut and waits and self._is_adopted and is_due):
            return
        try:
            outcome = await self._world.sink.apply(table)
        except SinkError as error:
            log.warning("plan.unsent", version=table.version, error=str(error))
            self._is_adopted = False
            return
        self._is_shut = isinstance(outcome, Rejected)
        if self._is_shut:
            self._push_at_s = self._world.clock.now_s() + REJECTED_PAUSE_S

    def _errand(self, wanted: Recycle) -> None:
        if self._outcome != "applied" or self._mode is Mode.OBSERVE:
            # The work may still be there: the table that took it away is not live.
            log.warning("cell.not_recycled", cell=wanted.cell, plan=self._outcome)
            return
        task = asyncio.ensure_future(recycle(self._world.driver, wanted))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _verify(self, observation: Observation) -> None:
        assert self._state is not None  # noqa: S101 - a decision was made from it
        if observation.now_s < self._verify_at_s or self._state.plan is None:
            return
        self._verify_at_s = float("inf")
        found = strays(self._state.plan, observation)
        for reason in found[:FEW]:
            log.warning("traffic.strayed", cell=reason.subject, text=reason.text)
        if len(found) > FEW:
            log.warning("traffic.strayed", count=len(found), more=len(found) - FEW)
        if not found:
            log.info("traffic.followed", version=self._state.version)

    def _keep(self, decision: Decision, observation: Observation, before: Plan | None) -> None:
        assert self._state is not None  # noqa: S101 - a decision was made from it
        self._keeping.keep(
            Lived(
                decision=decision,
                observation=observation,
                forecast=self._foresight.latest if self._foresight else None,
                before=before,
                after=self._state,
                outcome=self._outcome,
                standing=self._foresight.standing if self._foresight else None,
            )
        )
