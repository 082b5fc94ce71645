"""This module is how patient Foreshard is: the timings of draining, proving and returning."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from foreshard.model.errors import InvalidValueError
from foreshard.planning.thresholds import Thresholds

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Timings of what is done to a cell, in seconds.

    Attributes:
        thresholds: When a prediction is believed.
        drain_ahead_s: A cell is empty this long before its maintenance window. Default 300:
            room for handing over data.
        stride_s: Between the first and the second half of a drain that nothing hurries.
        warm_s: From a cell's first traffic after an absence to its full share. Default 120:
            caches and connection pools of most services fill in a minute or two.
        expire_s: A drain that a forecast began ends by itself when none has renewed it for so
            long. Default 600: a model that is gone says nothing of how the cell is now.
        prove_s: A restarted cell must look healthy this long before it gets traffic.
        shun_s: A class that was taken off a cell stays away at least this long.
        probe_share: Share of a flow sent to a cell it was taken off, to see whether it has
            recovered. Default .002.
        restart_patience_s: A cell that is dead, or drained by a forecast, is restarted by
            request after this long without coming back by itself.
        quarantine_s: A quarantined cell that looks healthy for so long may try again.
        max_restarts: Requests without success before a cell is quarantined.
        unknown_s: A cell that is silent (not: refuses) and whose requests fail is taken for
            dead after this long.
        holdout_ratio: Part of what a forecast asks for that is withheld at random, never where
            critical requests would pay. Default 0: nothing is.
        holdout_seed: Of that chance.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    drain_ahead_s: float = 300.0
    stride_s: float = 30.0
    warm_s: float = 120.0
    expire_s: float = 600.0
    prove_s: float = 10.0
    shun_s: float = 120.0
    probe_share: float = 0.002
    restart_patience_s: float = 120.0
    quarantine_s: float = 1_800.0
    max_restarts: int = 3
    unknown_s: float = 5.0
    holdout_ratio: float = 0.0
    holdout_seed: int = 0

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self) if f.name != "thresholds"):
            if getattr(self, name) < 0:
                raise InvalidValueError(f"policy: {name} is {getattr(self, name)}, must be >= 0")
        if self.probe_share > 0.05:
            raise InvalidValueError(
                f"policy: probe_share is {self.probe_share}, must be at most .05: probes of a "
                "sick cell are bad requests"
            )
        if self.holdout_ratio > 0.5:
            raise InvalidValueError(
                f"policy: holdout_ratio is {self.holdout_ratio}, must be at most .5: what is "
                "withheld fails as if nobody had foreseen it"
            )
