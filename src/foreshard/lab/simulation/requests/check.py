"""This module is health checks: a cell is out, or back, when a proxy has seen it often enough.

A dead cell refuses at once; one that cannot be reached is known only after the check's time-out,
and the next check begins an interval after that. A cell that is only slow passes: the demo's
cells answer checks beside their work.
"""

from __future__ import annotations

from typing import Final

from foreshard.lab.simulation.requests.compiled import kernel
from foreshard.lab.simulation.requests.ejection import refresh
from foreshard.lab.simulation.requests.world import World

__all__ = ["check"]

# Rounds are sums of intervals: one of just the time-out's length must not fall short of it.
ROUNDING_S: Final = 1e-6


@kernel
def check(w: World, p: int) -> None:
    """One round of one proxy over all cells."""
    has_changed = False
    for c in range(len(w.cells)):
        if _seen(w, p, c):
            has_changed |= _concluded(w, p, c)
    if has_changed:
        for k in range(len(w.kinds)):
            refresh(w, p, k)


@kernel
def _seen(w: World, p: int, c: int) -> bool:
    """Whether a check of this cell ends in this round; count it."""
    check = w.checks[p, c]
    cell = w.cells[c]
    now_s = w.state[0].now_s
    if check.is_pending:
        if now_s - check.asked_s < w.net[0].check_timeout_s - ROUNDING_S:
            return False
        check.is_pending = False
    elif not cell.is_reachable:
        check.is_pending = True
        check.asked_s = now_s
        return False
    elif cell.is_up:
        check.passed += 1
        check.failed = 0
        return True
    check.failed += 1
    check.passed = 0
    return True


@kernel
def _concluded(w: World, p: int, c: int) -> bool:
    """Whether the cell is now seen otherwise than before."""
    check = w.checks[p, c]
    if check.is_alive and check.failed >= w.net[0].unhealthy_threshold:
        check.is_alive = False
        return True
    if not check.is_alive and check.passed >= w.net[0].healthy_threshold:
        check.is_alive = True
        now_s = w.state[0].now_s
        for k in range(len(w.kinds)):
            w.links[p, k, c].since_s = now_s
            w.rows[p, k].slow_until_s = now_s + w.net[0].slow_start_s
        return True
    return False
