"""This module is what people do today about the future: a line through the last minutes.

Prometheus evaluates, for every gauge of every cell, the rules that ship for file systems. For
what fills by itself: the line through the last stretch reaches the limit within four times that
stretch, and more than 60 % is in use. For what follows load: within two thirds of it, and more
than 80 %. When this held for a sixth of the stretch, the alert fires and a script drains the
whole cell until it is resolved. As with any disruption budget, not more than a fifth of the
cells (but one) is drained at a time. Under it lies what `sticky` has.

Sources: Prometheus documentation, `predict_linear` (least squares); node-exporter mixin,
`NodeFilesystemSpaceFillingUp` (warning: 6 h, 24 h, for 1 h, less than 40 % available; critical:
4 h, 20 %), here with a stretch of 5 min; Kubernetes documentation, "Disruption budgets".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foreshard.lab.policy.program import Draft, even_shares, seated
from foreshard.lab.policy.setting import Setting
from foreshard.lab.policy.sticky import sticky
from foreshard.lab.policy.view import View
from foreshard.lab.simulation.effects import Bools, Floats

__all__ = ["PredictLinear", "allowed_drains", "extrapolated"]

STRETCH_S = 300.0
FOR_S = STRETCH_S / 6.0
# Prometheus' usual interval of scraping and of evaluating rules.
INTERVAL_S = 15.0
# In stretches, and what is in use already: the mixin's two severities. A gauge that follows load
# swings every day; only the stricter one is bearable for it.
HORIZON, IN_USE = 4.0, 0.6
STRICT_HORIZON, STRICT_IN_USE = 2.0 / 3.0, 0.8
DRAINED_RATIO = 0.2


def extrapolated(t_s: Floats, used: Floats, *, ahead_s: float) -> Floats:
    """Where the least-squares line of each series will be, so long after its last moment.

    Args:
        t_s: [T] rising.
        used: [T, ...] NaN = no sample.
        ahead_s: From the last moment.

    Returns:
        [...] NaN where there are fewer than two samples.
    """
    x = (t_s - t_s[-1]).reshape(-1, *[1] * (used.ndim - 1))
    known = np.isfinite(used)
    count = known.sum(axis=0)
    y = np.where(known, used, 0.0)
    mean_x = (x * known).sum(axis=0) / np.maximum(count, 1)
    mean_y = y.sum(axis=0) / np.maximum(count, 1)
    spread = (known * (x - mean_x) ** 2).sum(axis=0)
    slope = (known * (x - mean_x) * (y - mean_y)).sum(axis=0) / np.maximum(spread, 1e-12)
    line: Floats = mean_y + slope * (ahead_s - mean_x)
    return np.where((count >= 2) & (spread > 0.0), line, np.nan)


def allowed_drains(fires_s: Floats, *, drained: Bools) -> Bools:
    """[C] whom the budget lets be drained: those that are, then the longest firing.

    Args:
        fires_s: [C] since when the alert fires; NaN = it does not.
        drained: [C] now.
    """
    most = max(1, int(DRAINED_RATIO * fires_s.size))
    order = sorted(
        np.flatnonzero(np.isfinite(fires_s)).tolist(),
        key=lambda c: (not drained[c], fires_s[c], c),
    )
    allowed = np.zeros(fires_s.size, dtype=np.bool_)
    allowed[order[:most]] = True
    return allowed


class PredictLinear:
    """The rule, with the samples of the last stretch."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._draft = sticky(setting).draft
        self._t_s: list[float] = []
        self._used: list[dict[str, Floats]] = []
        cells = setting.size.size
        self._pending_s = np.full(cells, np.nan)
        self._drained = np.zeros(cells, dtype=np.bool_)

    def decide(self, view: View) -> Draft:
        """Sample, evaluate, drain."""
        pace = self._setting.pace
        if self._t_s and view.now_s < self._t_s[-1] + INTERVAL_S / pace - 1e-6:
            return self._draft
        self._sample(view)
        is_true = self._condition(view.scaling)
        self._pending_s = np.where(
            is_true, np.fmin(self._pending_s, view.now_s), np.full(is_true.shape, np.nan)
        )
        fires = np.where(
            view.now_s - self._pending_s >= FOR_S / pace - 1e-6, self._pending_s, np.nan
        )
        drained = allowed_drains(fires, drained=self._drained)
        if not np.array_equal(drained, self._drained):
            self._drained = drained
            self._draft = self._without(drained)
        return self._draft

    def _sample(self, view: View) -> None:
        self._t_s.append(view.now_s)
        self._used.append(dict(view.gauges))
        while self._t_s[0] < view.now_s - STRETCH_S / self._setting.pace:
            del self._t_s[0], self._used[0]

    def _condition(self, scaling: frozenset[str]) -> Bools:
        silence = np.full(self._setting.size.size, np.nan)
        is_true = np.zeros(silence.shape, dtype=np.bool_)
        for name in sorted({name for one in self._used for name in one}):
            used = np.array([one.get(name, silence) for one in self._used])
            strict = name in scaling
            ahead_s = (STRICT_HORIZON if strict else HORIZON) * STRETCH_S / self._setting.pace
            line = extrapolated(np.array(self._t_s), used, ahead_s=ahead_s)
            is_true |= (line > 1.0) & (used[-1] > (STRICT_IN_USE if strict else IN_USE))
        return is_true

    def _without(self, drained: Bools) -> Draft:
        setting = self._setting
        even = even_shares(setting)
        likes = np.where(drained, 0.0, even)
        total = likes.sum(axis=2, keepdims=True)
        share = np.where(total > 0.0, likes / np.where(total > 0.0, total, 1.0), even)
        rows = {k: seated(setting, row, share[0, k]) for k, row in self._draft.slots.items()}
        return replace(self._draft, share=share, slots=rows)
