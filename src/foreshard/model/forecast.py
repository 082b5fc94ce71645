"""This module is what may happen: the probability of failure as a curve over load."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from foreshard.model.errors import InvalidValueError

__all__ = ["Band", "CellForecast", "Forecast", "RiskCurve", "TimeToLimit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCurve:
    """P(onset within a horizon) as a function of the load the cell will be given.

    Attributes:
        loads: Multiples of the cell's present load, strictly rising, first 0.
        p: Probability at each, in [0, 1], never falling.
    """

    loads: tuple[float, ...]
    p: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.loads) != len(self.p) or not self.loads or self.loads[0] != 0.0:
            raise InvalidValueError(
                f"risk curve: loads {self.loads} must start at 0 and match p {self.p}"
            )
        if any(b <= a for a, b in zip(self.loads, self.loads[1:], strict=False)):
            raise InvalidValueError(f"risk curve: loads {self.loads} must rise strictly")
        if any(not 0.0 <= q <= 1.0 for q in self.p):
            raise InvalidValueError(f"risk curve: p {self.p} must lie in [0, 1]")
        if any(b < a for a, b in zip(self.p, self.p[1:], strict=False)):
            raise InvalidValueError(f"risk curve: p {self.p} must not fall with load")

    def at(self, load: float) -> float:
        """P at a multiple of the present load, linear between points, flat beyond them."""
        i = bisect_right(self.loads, load)
        if i == 0:
            return self.p[0]
        if i == len(self.loads):
            return self.p[-1]
        x0, x1 = self.loads[i - 1], self.loads[i]
        return self.p[i - 1] + (self.p[i] - self.p[i - 1]) * (load - x0) / (x1 - x0)

    @property
    def standing(self) -> float:
        """The part that no relief of load cures: P at load 0."""
        return self.p[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeToLimit:
    """When a gauge is expected to reach its limit, seconds from `made_at_s`; inf = not."""

    q10_s: float
    q50_s: float
    q90_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """How far a probability may be off: where it would lie if what it hangs on were known.

    The middle 80 %. The probability itself is the mean of such values, so it may lie outside
    when they are few and far apart.

    Attributes:
        low: One in ten lies below; in [0, 1].
        high: One in ten lies above; in [low, 1].
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.low <= self.high <= 1.0:
            raise InvalidValueError(
                f"band: low {self.low} and high {self.high} must rise and lie in [0, 1]"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellForecast:
    """What may happen to one cell.

    Attributes:
        risk: Any mode, by horizon in seconds; a longer horizon is never less likely.
        modes: The same by mode (`exhaustion:memory`, `latency:search`, ...) then horizon.
        class_risk: P that one class breaches its objective here while others need not, by
            class then horizon.
        time_to_limit: By gauge; only gauges that move towards their limit.
        drift_low_per_s: Lower bound (10 %) of each gauge's drift, in limits per second: the
            evidence that a trend is real.
        risk_band: Of `risk` at the present load, by horizon; empty = the model does not say.
        class_band: Of `class_risk`, by class then horizon; classes it is not said of are absent.
        model: What it stands on, where cells of one forecast stand on several; "" = that of the
            forecast.
        because: What counts most in it, in words; () = the model does not say.
        is_calibrated: The probabilities were held against what came true on a later past, and are
            watched: they are evidence by themselves, where others need a drift beside them.
    """

    risk: Mapping[float, RiskCurve]
    modes: Mapping[str, Mapping[float, RiskCurve]] = field(default_factory=dict)
    class_risk: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    time_to_limit: Mapping[str, TimeToLimit] = field(default_factory=dict)
    drift_low_per_s: Mapping[str, float] = field(default_factory=dict)
    risk_band: Mapping[float, Band] = field(default_factory=dict)
    class_band: Mapping[str, Mapping[float, Band]] = field(default_factory=dict)
    model: str = ""
    because: tuple[str, ...] = ()
    is_calibrated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What may happen to the fleet; an input of the engine that carries its own age.

    Attributes:
        made_at_s: The moment of the newest observation it has seen.
        horizons_s: Rising; the keys of every risk mapping.
        model: Which forecaster made it.
        cells: By cell; a cell may be absent (too little is known of it).
    """

    made_at_s: float
    horizons_s: tuple[float, ...]
    model: str
    cells: Mapping[str, CellForecast]

    def __post_init__(self) -> None:
        if not self.horizons_s or list(self.horizons_s) != sorted(set(self.horizons_s)):
            raise InvalidValueError(
                f"forecast: horizons_s {self.horizons_s} must rise and not be empty"
            )
