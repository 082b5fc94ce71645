"""This module is what happens to cells in one tick: who is doubted, emptied, restarted, let back.

It decides phases, not shares: the planner is then told how much each cell may take. Order
matters and is fixed: what is observed comes before what is announced, and that before what is
only predicted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.plan import Reason, Recycle
from foreshard.model.telemetry import CellReading, Fresh, Health, Observation
from foreshard.planning.bounds import takes_work
from foreshard.planning.judgement import Doubt, Judgement, describe_s
from foreshard.planning.lapse import failing
from foreshard.planning.phases import CellState, Phase, Trigger, Why, advance, allows
from foreshard.planning.policy import Policy

__all__ = ["Outlook", "live_on"]

NAN = float("nan")
# Below this many requests a second a drained cell counts as empty.
EMPTY_RPS = 0.5
UNDER_WAY = frozenset({Phase.DRAINING, Phase.DRAINED, Phase.RECYCLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the life cycle may know in one tick.

    Attributes:
        observation: The newest look at the fleet.
        judgement: What is held against whom; None when no new forecast came.
        affordable: Whether the rest of the fleet could carry a cell's work, by cell.
        distrusts_forecast: More is predicted to fail than is believable, or changes are frozen:
            no forecast takes work off a cell.
        distrusts_deaths: Everything in service looks dead: then it is the looking that fails.
        max_evacuations: So many cells may be emptied on a forecast at a time.
        holding: Cells that hold slots with data: without a request, they are not empty.
        distrusted: Cells that get less because of what they did to requests.
        untried: Returning cells that the live plan still gives nothing.
    """

    observation: Observation
    judgement: Judgement | None
    affordable: Callable[[str], bool]
    distrusts_forecast: bool
    distrusts_deaths: bool
    max_evacuations: int = 1
    holding: Collection[str] = frozenset()
    distrusted: Collection[str] = frozenset()
    untried: Collection[str] = frozenset()


def live_on(
    states: Mapping[str, CellState], outlook: Outlook, policy: Policy
) -> tuple[Mapping[str, CellState], tuple[Reason, ...], tuple[Recycle, ...]]:
    """The cells' states after one tick, why they changed, and whom to restart."""
    after = dict(states)
    reasons: list[Reason] = []
    recycles: list[Recycle] = []
    seen = _Seen.of(states, outlook, policy)
    going = {n for n, s in states.items() if s.why is Why.FORECAST and s.phase in UNDER_WAY}
    for name in sorted(states):
        state = states[name]
        if seen.says_nothing_of(name, state):
            continue
        step = _Step(name, state, seen, outlook, policy)
        state = step.through(under_way=len(going - {name}))
        after[name] = state
        if state.why is Why.FORECAST and state.phase in UNDER_WAY:
            going.add(name)
        else:
            going.discard(name)
        reasons.extend(step.reasons)
        recycles.extend(step.recycles)
    return after, tuple(reasons), tuple(recycles)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What one look shows of all cells, worked out once.

    Attributes:
        outlook: What the life cycle may know.
        failing: Cells that fail most of their requests while their siblings do not.
        windows: Maintenance that is open or near, by cell; the first to begin.
        kept: Cells that are not emptied for theirs, for nobody else would be left.
    """

    outlook: Outlook
    failing: frozenset[str]
    windows: Mapping[str, SystemEvent]
    kept: frozenset[str] = frozenset()

    @classmethod
    def of(cls, states: Mapping[str, CellState], outlook: Outlook, policy: Policy) -> _Seen:
        observation = outlook.observation
        ahead_s = policy.drain_ahead_s + policy.stride_s
        near = [
            e
            for e in observation.events
            if e.kind is EventKind.MAINTENANCE and e.is_within(observation.now_s, ahead_s=ahead_s)
        ]
        near.sort(key=lambda e: (e.starts_at_s, e.id), reverse=True)
        # No name is every name.
        windows = {name: event for event in near for name in event.cells or states}
        serving = {
            name
            for name, state in states.items()
            if takes_work(state) and observation.cells[name].health is not Health.DOWN
        }
        return cls(
            outlook=outlook,
            failing=failing(observation.cells),
            windows=windows,
            kept=frozenset() if serving - windows.keys() else frozenset(serving),
        )

    def says_nothing_of(self, name: str, state: CellState) -> bool:
        """Whether a cell in full service stays just as it is: most do, most of the time."""
        reading, judged = self.outlook.observation.cells[name], self.outlook.judgement
        is_well = (
            state.phase is Phase.ACTIVE
            and reading.health is Health.UP
            and isinstance(reading.reading, Fresh)
            and not math.isnan(state.proved_since_s)
            and math.isnan(state.failing_since_s)
            and name not in self.failing
            and name not in self.windows
        )
        if judged is None or not is_well:
            return is_well
        doubted, clear = state.doubted_since_s, state.cleared_since_s
        is_clear = math.isnan(doubted) and not math.isnan(clear)
        return name not in judged.cells and (is_clear or name not in judged.known)


class _Step:
    """One cell in one tick."""

    def __init__(
        self, name: str, state: CellState, seen: _Seen, outlook: Outlook, policy: Policy
    ) -> None:
        self.name = name
        self.state = state
        self.seen = seen
        self.outlook = outlook
        self.policy = policy
        self.now_s = outlook.observation.now_s
        self.reading: CellReading = outlook.observation.cells[name]
        self.reasons: list[Reason] = []
        self.recycles: list[Recycle] = []

    def through(self, *, under_way: int) -> CellState:
        self._notice()
        window = self.seen.windows.get(self.name)
        death = self._death()
        if death and not self._is_expected_down(window) and not self.outlook.distrusts_deaths:
            if allows(self.state.phase, Trigger.DIED):
                self._move(Trigger.DIED, "cell.died", f"{death}; all its work leaves", Why.DOWN)
        elif window is not None and self.name in self.seen.kept:
            text = f"maintenance {window.id} would leave no cell in service: its work stays; move"
            self._say("maintenance.kept", f"{text} the window, or call it off")
        elif window is not None and self.state.phase is not Phase.RECYCLING:
            self._prepare(window)
        elif self.state.phase in (Phase.ACTIVE, Phase.WARMING):
            self._doubt(under_way=under_way)
        elif self.state.phase is Phase.DRAINING:
            self._confirm_or_relent()
        elif self.state.phase is Phase.DRAINED:
            self._restart_when_empty()
        if self.state.phase in (Phase.RECYCLING, Phase.QUARANTINED):
            self._return_or_give_up(is_awaited=window is not None)
        if self.state.phase is Phase.WARMING:
            self._climb()
        return self.state

    def _age_s(self) -> float:
        return self.now_s - self.state.since_s

    def _notice(self) -> None:
        """Update since when evidence holds, is absent, or the cell looks healthy."""
        judged = self.outlook.judgement
        # What a forecast says nothing about, it neither doubts nor clears.
        if judged is not None and self.name in judged.known:
            doubted = self.name in judged.cells
            since, clear = self.state.doubted_since_s, self.state.cleared_since_s
            thresholds = self.policy.thresholds
            if self.now_s - self.state.renewed_at_s > thresholds.relent_s + thresholds.doubt_s:
                since = NAN  # nobody has held it since; NaN compares as false
            self.state = replace(
                self.state,
                doubted_since_s=(self.now_s if math.isnan(since) else since) if doubted else NAN,
                cleared_since_s=NAN if doubted else (self.now_s if math.isnan(clear) else clear),
                renewed_at_s=self.now_s if doubted else self.state.renewed_at_s,
            )
        healthy = self.reading.health is Health.UP and isinstance(self.reading.reading, Fresh)
        proved = self.state.proved_since_s
        self.state = replace(
            self.state,
            proved_since_s=(self.now_s if math.isnan(proved) else proved) if healthy else NAN,
        )
        since_s = self.state.failing_since_s
        # A silent cell that is asked nothing any more has not recovered from failing.
        mute = not healthy and not math.isnan(since_s) and self.name in self.outlook.distrusted
        lost = self.name in self.seen.failing or mute
        self.state = replace(
            self.state,
            failing_since_s=(self.now_s if math.isnan(since_s) else since_s) if lost else NAN,
        )

    def _death(self) -> str:
        """Why the cell is taken for dead; "" = it is not."""
        if self.reading.health is Health.DOWN:
            return "refuses connections or health checks"
        # NaN compares as false.
        if self.now_s - self.state.failing_since_s >= self.policy.unknown_s:
            return "fails most of its requests, whatever its health check says"
        return ""

    def _is_expected_down(self, window: SystemEvent | None) -> bool:
        # One that a forecast emptied, and not for the window, may still have work.
        emptied = self.state.phase is Phase.DRAINED and self.state.why is Why.MAINTENANCE
        return window is not None and emptied

    def _prepare(self, window: SystemEvent) -> None:
        lead = window.starts_at_s - self.now_s
        begins = f"begins in {lead:.0f} s" if lead >= 0.0 else "has begun"
        if self.state.phase is Phase.DRAINED:
            if self.state.why is not Why.MAINTENANCE:
                text = f"maintenance {window.id} {begins}; what work it kept leaves too"
                self._move(Trigger.ANNOUNCED, "maintenance.drained", text, Why.MAINTENANCE)
        elif allows(self.state.phase, Trigger.ANNOUNCED):
            text = f"maintenance {window.id} {begins}; half of its work leaves"
            self._move(Trigger.ANNOUNCED, "maintenance.ahead", text, Why.MAINTENANCE)
        elif self.state.phase is Phase.DRAINING and (
            self._age_s() >= self.policy.stride_s or lead <= 0
        ):
            text = f"maintenance {window.id} {begins}; all its work leaves"
            self._move(Trigger.CONFIRMED, "maintenance.drained", text, Why.MAINTENANCE)

    def _doubt(self, *, under_way: int) -> None:
        judged = self.outlook.judgement
        doubt = judged.cells.get(self.name) if judged else None
        if doubt is None or judged is None or self.outlook.distrusts_forecast:
            return
        thresholds = self.policy.thresholds
        held = self.now_s - self.state.doubted_since_s
        class_suffers = any(cell == self.name for _, cell in judged.classes)
        if held < (thresholds.class_first_s if class_suffers else thresholds.doubt_s):
            return
        if not doubt.begins(thresholds):
            return
        facts = _facts(doubt)
        if under_way >= self.outlook.max_evacuations:
            others = "another evacuation is under way" if under_way else "no evacuation is allowed"
            self._say("guard.one_evacuation", f"{doubt.text}; {others}", facts)
        elif not self.outlook.affordable(self.name):
            text = (
                f"{doubt.text}; the rest cannot carry its work under the ceiling, so it keeps it"
            )
            self._say("guard.rest_ceiling", text, facts)
        else:
            self.state = replace(self.state, evidence=doubt.text)
            wait = describe_s(thresholds.confirm_s)
            left = f"half of its work leaves, the rest follows in {wait} if the trend holds"
            text = f"{doubt.text}; {left}"
            self._move(Trigger.DOUBTED, "cell.doubted", text, Why.FORECAST, facts)

    def _confirm_or_relent(self) -> None:
        judged = self.outlook.judgement
        if self.state.why is Why.MAINTENANCE:  # the window is over, or was called off
            self._relent("maintenance.over", "no maintenance is due any more")
        elif self._is_expired():
            self._relent("cell.expired", "no forecast has renewed it; work returns slowly")
        elif judged is None:
            return
        elif (doubt := judged.cells.get(self.name)) is not None:
            thresholds = self.policy.thresholds
            # No time left to wait and see is still time for a second look.
            urgent = doubt.p_short >= thresholds.urgent_p
            wait_s = thresholds.confirm_s * (0.5 if urgent else 1.0)
            if self._age_s() >= wait_s and not self.outlook.distrusts_forecast:
                self.state = replace(self.state, evidence=doubt.text)
                text = f"{doubt.text}; the trend held, all its work leaves"
                self._move(Trigger.CONFIRMED, "cell.evacuated", text, Why.FORECAST, _facts(doubt))
        elif self._cleared_s() >= self.policy.thresholds.relent_s:
            self._relent("cell.cleared", "the evidence is gone; work returns slowly")

    def _climb(self) -> None:
        if self.name in self.outlook.untried:
            # The plan is held, or does not get out: nobody climbs by waiting.
            self.state = replace(self.state, since_s=self.now_s)
        elif self._age_s() >= self.policy.warm_s:
            self._move(Trigger.WARMED, "cell.returned", "has its full share again")

    def _relent(self, code: str, text: str) -> None:
        """Back from half: the climb begins there, not at the foot."""
        self._move(Trigger.RELENTED, code, text)
        self.state = replace(self.state, since_s=self.now_s - 0.5 * self.policy.warm_s)

    def _is_expired(self) -> bool:
        """Whether the forecast that took work off it is too old to keep it off."""
        renewed = self.state.renewed_at_s
        last_s = self.state.since_s if math.isnan(renewed) else renewed
        return self.now_s - last_s >= self.policy.expire_s

    def _cleared_s(self) -> float:
        clear = self.state.cleared_since_s
        return 0.0 if math.isnan(clear) else self.now_s - clear

    def _restart_when_empty(self) -> None:
        if self.state.why is Why.MAINTENANCE:
            # NaN compares as false.
            if self.now_s - self.state.proved_since_s >= self.policy.prove_s:
                self._move(Trigger.RELENTED, "maintenance.over", "is back; work returns slowly")
            return
        traffic = self.reading.traffic
        quiet = traffic is not None and sum(t.rate_rps for t in traffic.values()) < EMPTY_RPS
        empty = quiet and self.name not in self.outlook.holding
        if empty and self._age_s() >= 2.0 * self.outlook.observation.interval_s:
            self._ask_restart("is empty; it is restarted before it fails")
        elif not empty and self._cleared_s() >= self.policy.thresholds.relent_s:
            # The rest could not carry its work, so it kept some, and it did not fail.
            self._relent("cell.cleared", "the evidence is gone; work returns slowly")
        elif not empty and self._is_expired():
            self._relent("cell.expired", "no forecast has renewed it; work returns slowly")

    def _return_or_give_up(self, *, is_awaited: bool) -> None:
        proved = self.state.proved_since_s
        started = _started_at_s(self.reading)
        renewed = (
            self.state.why is not Why.FORECAST
            or started > self.state.since_s - 1.0
            or self._cleared_s() >= self.policy.thresholds.relent_s
        )
        # The last try gets its time too; a return that fails after it does not get another.
        is_last = self.state.restarts >= self.policy.max_restarts
        gave_up = self.state.restarts > self.policy.max_restarts
        quarantined = self.state.phase is Phase.QUARANTINED
        needed_s = self.policy.quarantine_s if quarantined else self.policy.prove_s
        if (
            not math.isnan(proved)
            and renewed
            and not is_awaited
            and self.now_s - proved >= needed_s
            and (quarantined or not gave_up)
        ):
            text = "has proved healthy since it came back; work returns slowly"
            self._move(Trigger.PROVED, "cell.proved", text)
        elif quarantined or is_awaited or (renewed and not math.isnan(proved) and not gave_up):
            # It is back: what is proving itself needs time, not one more restart.
            return
        elif self._age_s() >= self.policy.restart_patience_s or gave_up:
            if is_last:
                text = f"did not recover after {self.state.restarts} tries; a person must look"
                self._move(Trigger.GAVE_UP, "cell.quarantined", text)
            else:
                self._ask_restart("has not come back by itself; a restart is asked for")

    def _ask_restart(self, text: str) -> None:
        self._move(Trigger.RESTART_ASKED, "cell.recycled", text)
        self.recycles.append(Recycle(cell=self.name, because=self.reasons[-1]))

    def _move(
        self,
        trigger: Trigger,
        code: str,
        text: str,
        why: Why | None = None,
        facts: Mapping[str, float] | None = None,
    ) -> None:
        self.state = advance(self.state, trigger, now_s=self.now_s, why=why)
        self._say(code, text, facts)

    def _say(self, code: str, text: str, facts: Mapping[str, float] | None = None) -> None:
        self.reasons.append(Reason(subject=self.name, code=code, text=text, facts=facts or {}))


def _facts(doubt: Doubt) -> Mapping[str, float]:
    return {"p_short": round(doubt.p_short, 4), "p_long": round(doubt.p_long, 4)}


def _started_at_s(reading: CellReading) -> float:
    return (
        reading.reading.metrics.started_at_s if isinstance(reading.reading, Fresh) else -math.inf
    )
