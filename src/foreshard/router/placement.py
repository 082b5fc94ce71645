"""This module is one request's way past a cell that is about to fail: `shard_request`.

The current cell's probability of failure is forecast from what it measured, the request's needs
are looked up in the profile, and if the failure is likely AND the need is over what the cell has
left, the request goes to the best alternative with room: the nearest, then the least loaded. It is
the decision of the whole system for one request, without a plan: for applications that see no
balancer, and for work that is sent out one piece at a time. Where a plan exists, `Router` follows
it instead, at a ten thousandth of the price: a forecast takes about a millisecond.

One request is held against one second: the need of a request (cpu seconds) and what a cell has
left (cpu seconds a second) are then of one unit.

Critical requests come first in two ways: of several requests they are placed first, and the last
tenth of every alternative is theirs alone, so that one that comes alone finds room as well.

Known limit: what other processes are sending at this moment is not seen until it is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TypeAlias

import numpy as np

from foreshard.forecast.forecaster import Forecaster
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import Window
from foreshard.model.errors import InvalidValueError
from foreshard.model.forecast import RiskCurve
from foreshard.model.workload import Priority
from foreshard.router.request import CellHistory, Request, ShardPolicy, ShardRule, WorkloadProfile

__all__ = ["Move", "NoAlternative", "Placement", "Stay", "shard_request", "shard_requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """The request goes where it was going.

    Attributes:
        cell: There.
        p_failure: Of that cell within the horizon, at its present load; None = too little is
            known to say.
        because: For people.
    """

    cell: str
    p_failure: float | None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The request goes to another cell.

    Attributes:
        cell: The other.
        left: The one it does not go to.
        p_failure: Of the one it leaves; None = unknown.
        because: For people.
    """

    cell: str
    left: str
    p_failure: float | None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAlternative:
    """The request should leave its cell, and no other has room. Send it there, or refuse it.

    Attributes:
        cell: The current one.
        p_failure: Of that cell; None = unknown.
        because: Why it should leave, and what is wrong with each of the others.
    """

    cell: str
    p_failure: float | None
    because: str


Placement: TypeAlias = Stay | Move | NoAlternative


def shard_request(
    request: Request,
    cell_metrics: Iterable[CellHistory],
    workload_profile: WorkloadProfile,
    *,
    policy: ShardPolicy | None = None,
    forecaster: Forecaster | None = None,
) -> Placement:
    """Where one request goes.

    Args:
        request: It.
        cell_metrics: Of its cell, and of those that it may be sent to; each cell once.
        workload_profile: What it needs.
        policy: None = as it comes.
        forecaster: None = `trend`, in closed form, which needs no training.

    Raises:
        InvalidValueError: The request's cell is not among the metrics, a cell is there twice, the
            class is not in the profile, or the forecaster says nothing at the policy's horizon.

    >>> from foreshard.model.workload import Needs
    >>> leaking = CellHistory(
    ...     name="eu-1",
    ...     region="eu",
    ...     capacity={"cpu": 4.0},
    ...     used={"cpu": 3.9},
    ...     time_s=tuple(float(t) for t in range(60)),
    ...     gauges={"memory": tuple(0.5 + 0.005 * t for t in range(60))},
    ... )
    >>> spare = CellHistory(name="eu-2", region="eu", capacity={"cpu": 4.0}, used={"cpu": 1.0})
    >>> request = Request(request_class="report", cell="eu-1", origin="eu")
    >>> profile = WorkloadProfile(needs={"report": Needs(per_request={"cpu": 0.5})})
    >>> shard_request(request, [leaking, spare], profile).cell
    'eu-2'
    """
    (placement,) = shard_requests(
        [request], cell_metrics, workload_profile, policy=policy, forecaster=forecaster
    )
    return placement


def shard_requests(
    requests: Sequence[Request],
    cell_metrics: Iterable[CellHistory],
    workload_profile: WorkloadProfile,
    *,
    policy: ShardPolicy | None = None,
    forecaster: Forecaster | None = None,
) -> tuple[Placement, ...]:
    """Where several requests of one second go, critical ones first; each takes up what it needs.

    Args:
        requests: In the order in which they came.
        cell_metrics: As in `shard_request`.
        workload_profile: As in `shard_request`.
        policy: As in `shard_request`.
        forecaster: As in `shard_request`.

    Returns:
        A placement for each request, in their order.

    Raises:
        InvalidValueError: As in `shard_request`.
    """
    desk = _Desk(tuple(cell_metrics), workload_profile, policy or ShardPolicy(), forecaster)
    placed: dict[int, Placement] = {}
    for i in sorted(range(len(requests)), key=lambda i: (requests[i].priority, i)):
        placed[i] = desk.place(requests[i])
    return tuple(placed[i] for i in range(len(requests)))


class _Desk:
    """Places requests, and remembers what was taken up."""

    def __init__(
        self,
        cells: Sequence[CellHistory],
        profile: WorkloadProfile,
        policy: ShardPolicy,
        forecaster: Forecaster | None,
    ) -> None:
        self._cells = {cell.name: cell for cell in cells}
        if len(self._cells) < len(cells):
            names = [cell.name for cell in cells]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InvalidValueError(f"cell_metrics: cells {twice} are there more than once")
        self._profile, self._policy = profile, policy
        self._forecaster = forecaster or TrendForecaster(horizons_s=(policy.horizon_s,))
        self._used = {name: dict(cell.used) for name, cell in self._cells.items()}
        self._told = frozenset(what for used in self._used.values() for what in used)
        self._risks: dict[str, RiskCurve | None] = {}

    def place(self, request: Request) -> Placement:
        """Where it goes; takes up what it needs there."""
        cell = self._cells.get(request.cell)
        if cell is None:
            raise InvalidValueError(
                f"cell {request.cell!r} of the request is not in cell_metrics "
                f"({', '.join(sorted(self._cells)) or 'which are empty'})"
            )
        need = self._profile.of(request.request_class)
        placement = self._decide(request, cell, need)
        used = self._used[placement.cell]
        for resource in used.keys() & need.keys():
            used[resource] += need[resource]
        return placement

    def _decide(self, request: Request, cell: CellHistory, need: Mapping[str, float]) -> Placement:
        policy = self._policy
        risk = self._risk(cell)
        p = None if risk is None else risk.at(1.0)
        short = self._short(cell, need, spare_ratio=0.0)
        is_likely = p is not None and p > policy.threshold_p
        leaves = is_likely and bool(short)
        if policy.rule is ShardRule.OR:
            leaves |= bool(short) or (risk is not None and risk.standing > policy.threshold_p)
        why = f"{_risk_in_words(cell, p, policy)}; {_need_in_words(request, short)}"
        if not leaves:
            return Stay(cell=cell.name, p_failure=p, because=why)
        found, against = self._alternative(request, need)
        if found is None:
            others = "; ".join(against) or "there is no other cell"
            return NoAlternative(cell=cell.name, p_failure=p, because=f"{why}; {others}")
        return Move(
            cell=found.name,
            left=cell.name,
            p_failure=p,
            because=f"{why}; {found.name} is the nearest, least loaded one with room",
        )

    def _alternative(
        self, request: Request, need: Mapping[str, float]
    ) -> tuple[CellHistory | None, list[str]]:
        """The best other cell, or what is wrong with each."""
        spare_ratio = 0.0 if request.priority is Priority.CRITICAL else self._policy.reserve_ratio
        against: list[str] = []
        others = [cell for name, cell in self._cells.items() if name != request.cell]
        for cell in sorted(others, key=lambda cell: self._rank(request, cell, need)):
            risk = None
            if not cell.is_up:
                against.append(f"{cell.name} is down")
            elif request.regions and cell.region not in request.regions:
                against.append(f"{cell.name} stands in {cell.region}, which may not serve it")
            elif untold := self._untold(cell, need):
                against.append(f"{cell.name} says nothing of its {', '.join(untold)}")
            elif short := self._short(cell, need, spare_ratio=spare_ratio):
                against.append(f"{cell.name} lacks {', '.join(short)}")
            elif (risk := self._risk(cell)) and risk.at(1.0) > self._policy.threshold_p:
                against.append(f"{cell.name} may fail itself (p {risk.at(1.0):.2f})")
            else:
                return cell, against
        return None, against

    def _rank(
        self, request: Request, cell: CellHistory, need: Mapping[str, float]
    ) -> tuple[float, float, str]:
        used = self._used[cell.name]
        filled = max(
            ((used[what] + need.get(what, 0.0)) / cell.capacity[what] for what in used),
            default=0.0,
        )
        return self._policy.distance_ms(request.origin, cell.region), filled, cell.name

    def _untold(self, cell: CellHistory, need: Mapping[str, float]) -> list[str]:
        """What is needed and measured elsewhere, but not there: its room is not known."""
        here = self._used[cell.name]
        return sorted(
            resource
            for resource, much in need.items()
            if much > 0.0 and resource in self._told and resource not in here
        )

    def _short(
        self, cell: CellHistory, need: Mapping[str, float], *, spare_ratio: float
    ) -> list[str]:
        """What the need is over what is left of, in words."""
        if not cell.is_up:
            return ["a cell that is up"]
        found = []
        for resource, used in self._used[cell.name].items():
            left = max((1.0 - spare_ratio) * cell.capacity[resource] - used, 0.0)
            if need.get(resource, 0.0) > left:
                found.append(f"{need[resource]:g} {resource} of {left:g} left")
        return found

    def _risk(self, cell: CellHistory) -> RiskCurve | None:
        """What is foreseen of a cell; None = too little is known."""
        if cell.name not in self._risks:
            self._risks[cell.name] = self._foresee(cell)
        return self._risks[cell.name]

    def _foresee(self, cell: CellHistory) -> RiskCurve | None:
        if not cell.is_up or _is_at_a_limit(cell):
            return RiskCurve(loads=(0.0, 1.0), p=(1.0, 1.0))
        if not cell.time_s or not cell.gauges:
            return None
        window = _window_of(cell)
        horizon_s = self._policy.horizon_s
        forecast = self._forecaster.forecast(window, (), now_s=cell.time_s[-1])
        if horizon_s not in forecast.horizons_s:
            raise InvalidValueError(
                f"the forecaster speaks of {list(forecast.horizons_s)} s, not of {horizon_s:g} s; "
                "set the policy's horizon_s to one of these"
            )
        found = forecast.cells.get(cell.name)
        return None if found is None else found.risk.get(horizon_s)


def _is_at_a_limit(cell: CellHistory) -> bool:
    """Whether a gauge that does not follow the load stands at its limit: then it has failed.

    A forecast needs some readings; this needs the newest alone.
    """
    own = (readings for name, readings in cell.gauges.items() if name not in cell.scales_with_load)
    return any(readings and readings[-1] >= 1.0 for readings in own)


def _window_of(cell: CellHistory) -> Window:
    names = tuple(cell.gauges)
    load = cell.load or (float("nan"),) * len(cell.time_s)
    return Window(
        cells=(cell.name,),
        gauges=names,
        time_s=np.array(cell.time_s),
        value=np.array([[cell.gauges[name] for name in names]], dtype=np.float32),
        load=np.array([load], dtype=np.float32),
        scales_with_load=np.array([name in cell.scales_with_load for name in names]),
        is_rate=np.array([name in cell.capacity for name in names]),
    )


def _risk_in_words(cell: CellHistory, p: float | None, policy: ShardPolicy) -> str:
    if p is None or isnan(p):
        return f"too little is known of {cell.name} to foresee a failure"
    side = "over" if p > policy.threshold_p else "within"
    return (
        f"{cell.name} fails within {policy.horizon_s:g} s with p {p:.2f}, {side} "
        f"{policy.threshold_p:g}"
    )


def _need_in_words(request: Request, short: Sequence[str]) -> str:
    if not short:
        return f"{request.request_class} fits into what it has left"
    return f"{request.request_class} needs {', '.join(short)}"
