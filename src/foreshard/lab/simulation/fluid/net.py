"""This module is what proxies notice by themselves: health checks and outlier ejection.

Both are the expectation of what single proxies do. Checks of many proxies are out of step, so
the share of them that has noticed a death rises evenly over one interval. Failures in a row are
a run: with a failing share p one of n takes `(1 - p^n) / ((1 - p) p^n)` tries in the mean, so a
cell is out once so many tries were sent, which is exactly n for a dead one. An ejection ends
with an interval; each further one is longer, and an interval without one forgets one.
"""

from __future__ import annotations

import numpy as np

from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.model.safety_net import SafetyNet

__all__ = ["Checks", "Ejections"]


# Fewer failures than this in one step are the tail of a distribution.
FEW = 1e-3


class Checks:
    """Health checks of all proxies.

    Args:
        cells: How many cells.
    """

    def __init__(self, cells: int) -> None:
        self.seen = np.ones(cells)
        self.back_s = np.full(cells, np.inf)
        self._well_s = np.full(cells, np.inf)
        self._ill_s = np.zeros(cells)

    def step(self, net: SafetyNet, *, is_up: Bools, is_reachable: Bools, step_s: float) -> None:
        """Let time pass; `seen` [C] is the share of proxies that hold a cell for alive.

        Half of them took it back `back_s` [C] ago.
        """
        is_well = is_up & is_reachable
        self._well_s = np.where(is_well, self._well_s + step_s, 0.0)
        self._ill_s = np.where(is_well, 0.0, self._ill_s + step_s)
        every = net.check_interval_s
        # A dead process refuses a check at once, an unreachable one lets it time out, and the
        # next one begins an interval after that.
        late = np.where(is_reachable, 0.0, net.check_timeout_s)
        first = (net.unhealthy_threshold - 1) * (every + late) + late
        out = (self._ill_s - first) / every
        back = (self._well_s - (net.healthy_threshold - 1) * every) / every
        is_back = is_well & (self.seen < 0.5) & (back >= 0.5)
        self.back_s = np.where(is_back, 0.0, self.back_s + step_s)
        self.seen = np.where(
            is_well,
            np.maximum(self.seen, np.clip(back, 0.0, 1.0)),
            np.minimum(self.seen, 1.0 - np.clip(out, 0.0, 1.0)),
        )


class Ejections:
    """Who is left out for failing, by (origin, class, cell).

    Args:
        shape: O, K, C.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._until_s = np.zeros(shape)
        self._times = np.zeros(shape)
        self._run = np.zeros(shape)
        self._tries = np.zeros(shape)
        self._failed = np.zeros(shape)
        self._judged_s = 0.0
        self._is_quiet = True

    def out(self, now_s: float) -> Bools:
        """[O, K, C] who is left out now."""
        return np.asarray(self._until_s > now_s)

    def step(
        self,
        net: SafetyNet,
        tries: Floats,
        failed: Floats,
        *,
        is_compared: Bools,
        now_s: float,
        proxies: int,
    ) -> None:
        """Take what came of the tries of one step.

        Args:
            net: Limits.
            tries: [O, K, C] amounts that ended; zero for classes that eject nobody.
            failed: [O, K, C] of them.
            is_compared: [O, K] whether a class's cells stand in one cluster, to be compared.
            now_s: The end of the step.
            proxies: Among whom they are divided.
        """
        if self._is_quiet and not (failed > FEW).any():
            return
        self._is_quiet = False
        p = np.clip(failed / np.maximum(tries, 1e-300), 0.0, 1.0 - 1e-9)
        p_run = p**net.consecutive_5xx
        needed = np.maximum((1.0 - p_run) / ((1.0 - p) * np.maximum(p_run, 1e-300)), 1.0)
        self._run += tries / proxies / needed
        self._tries += tries / proxies
        self._failed += failed / proxies
        is_due = self._run >= 1.0
        if now_s - self._judged_s >= net.eject_interval_s - 1e-9:
            self._judged_s = now_s
            is_due |= self._is_often(net) & is_compared[:, :, None]
            is_in = self._until_s <= now_s
            self._is_quiet = not ((self._failed > FEW).any() or self._times.any())
            self._times = np.where(is_in, np.maximum(0.0, self._times - 1.0), self._times)
            self._tries[:] = self._failed[:] = 0.0
        if is_due.any():
            self._eject(net, is_due, is_compared, now_s)

    def _is_often(self, net: SafetyNet) -> Bools:
        is_judged = self._tries >= net.failure_minimum_requests
        enough = is_judged.sum(axis=2, keepdims=True) >= net.failure_minimum_hosts
        return np.asarray(is_judged & enough & (self._failed > net.failure_ratio * self._tries))

    def _eject(self, net: SafetyNet, is_due: Bools, is_compared: Bools, now_s: float) -> None:
        is_out = self._until_s > now_s
        room = net.max_ejected_ratio * is_due.shape[2] - is_out.sum(axis=2, keepdims=True)
        due = is_due & ~is_out
        due &= (np.cumsum(due, axis=2) <= np.ceil(room)) | ~is_compared[:, :, None]
        self._times += due
        lasts_s = np.minimum(net.eject_max_s, net.eject_base_s * self._times)
        # Judged once an interval, so half of one later in the mean.
        lasts_s += 0.5 * net.eject_interval_s
        self._until_s = np.where(due, now_s + lasts_s, self._until_s)
        self._run[is_due] = 0.0
