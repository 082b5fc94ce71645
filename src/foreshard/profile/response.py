"""This module is whether a cell that got less waits less: what tells a queue from slow answers.

A queue answers to what is sent: more than is served makes it longer, less makes it shorter. The
time that requests take for another reason (a dependency that all cells share, a farther
database, a service that simply is so slow) does not: it is the same however little is sent. An
engine that took it for a queue would give less, see what it gave being served, take that for all
that can be served, and so on down to nothing. So each cut is a trial, and the next one needs its
success: what waits must have grown, or shrunk, since. What stays while clearly less is served is
no queue, and is counted as what requests take there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cut", "Response", "start_response", "update_response"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# What waits has grown or shrunk beyond these parts; within them it is the same.
GROWN, SHRUNK = 1.25, 0.75
# Clearly less is served, for so many looks: a queue would have become shorter by then.
LESS_RATIO, LOOKS = 0.9, 2.0
# A gauge at its limit says that there is a queue; it is contradicted later.
LOOKS_BACKED = 5.0
# What requests take longer is followed down so fast, or a queue would hide in it.
LAG_DOWN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response:
    """How C cells answered to their last cut.

    Attributes:
        lag_s: [C] what requests take longer there however little is sent, NaN = never heard.
        cut_s: [C] what a request waited at the last cut, NaN = no cut is on trial.
        cut_served: [C] work a second that was served then.
        looks: [C] with clearly less served since, and as long a wait.
    """

    lag_s: Array
    cut_s: Array
    cut_served: Array
    looks: Array

    @property
    def known_lag_s(self) -> Array:
        """[C] seconds, 0 where nothing is known."""
        return np.nan_to_num(self.lag_s)


def start_response(cells: int) -> Response:
    """Nothing was cut yet."""
    nothing = np.full(cells, np.nan)
    return Response(
        lag_s=nothing, cut_s=nothing, cut_served=np.zeros(cells), looks=np.zeros(cells)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """What a look shows of C cells, some of which should get less.

    Attributes:
        wait_s: What a request waits beyond the usual, the lag included, >= 0.
        served: Work a second.
        heard: Who was not keeps what was known.
        is_wanted: Who shows a queue that should be cut.
        is_backed: Whose gauge stands at its limit too.
    """

    wait_s: Array
    served: Array
    heard: Flags
    is_wanted: Flags
    is_backed: Flags


def update_response(state: Response, cut: Cut, *, dt_s: float) -> tuple[Response, Flags]:
    """Judge the cuts on trial.

    Args:
        state: Before.
        cut: What is seen and wanted.
        dt_s: Since the last look, > 0.

    Returns:
        The state after, and [C] who may be cut.
    """
    lag_s, heard = state.known_lag_s, cut.heard
    beyond = np.maximum(cut.wait_s - lag_s, 0.0)
    on_trial = np.isfinite(state.cut_s)
    cut_s = np.nan_to_num(state.cut_s)
    same = on_trial & (beyond <= GROWN * cut_s) & (beyond >= SHRUNK * cut_s)
    is_less = cut.served <= LESS_RATIO * state.cut_served
    looks = np.where(cut.is_wanted & same & is_less, state.looks + 1.0, 0.0)
    disproved = looks >= np.where(cut.is_backed, LOOKS_BACKED, LOOKS)
    may_cut = cut.is_wanted & ~disproved
    begins = may_cut & ~same
    fallen = lag_s + np.expm1(-dt_s / LAG_DOWN_S) * np.maximum(lag_s - cut.wait_s, 0.0)
    on_trial_after = np.where(begins, beyond, np.where(may_cut, state.cut_s, np.nan))
    after = Response(
        lag_s=np.where(heard, np.where(disproved, cut.wait_s, fallen), state.lag_s),
        cut_s=np.where(heard, on_trial_after, state.cut_s),
        cut_served=np.where(heard & begins, cut.served, state.cut_served),
        looks=np.where(heard, np.where(may_cut, looks, 0.0), state.looks),
    )
    return after, heard & may_cut
