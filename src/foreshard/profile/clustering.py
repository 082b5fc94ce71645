"""This module is which costs belong together, in how many sorts the data say.

Costs are compared by their ratio, in the resource in which they differ most, from the upper end
of the range of one to the lower end of the other. Average linkage joins what is nearest (Sokal
and Michener 1958); the cut is the widest gap between successive distances, within what words
allow: costs closer than 1.5 times are of one sort, costs further apart than 4 times are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["group_costs"]

Array = NDArray[np.float64]

ALIKE_TIMES, OTHER_TIMES = 1.5, 4.0


def group_costs(log_low: Array, log_high: Array) -> tuple[int, ...]:
    """The group of every class, numbered by first member.

    Args:
        log_low: [K, R] natural logarithm of the least that a request may cost.
        log_high: [K, R] of the most, >= `log_low`.
    """
    size = len(log_low)
    above = (log_low[:, None] - log_high[None]).max(axis=2, initial=0.0)
    distance = np.maximum(above, above.T)
    np.fill_diagonal(distance, np.inf)
    groups: dict[int, list[int]] = {k: [k] for k in range(size)}
    history, heights = [list(groups.values())], list[float]()
    while len(groups) > 1:
        i, j = sorted(divmod(int(distance.argmin()), size))
        heights.append(float(distance[i, j]))
        parts = len(groups[i]), len(groups[j])
        merged = (parts[0] * distance[i] + parts[1] * distance[j]) / sum(parts)
        distance[i], distance[:, i] = merged, merged
        distance[j], distance[:, j], distance[i, i] = np.inf, np.inf, np.inf
        groups[i] = groups[i] + groups.pop(j)
        history.append(list(groups.values()))
    least, most = float(np.log(ALIKE_TIMES)), float(np.log(OTHER_TIMES))
    marks = np.sort(np.array([least, *(h for h in heights if least < h < most), most]))
    gap = int(np.diff(marks).argmax())
    cut = (marks[gap] + marks[gap + 1]) / 2.0
    chosen = history[sum(h < cut for h in heights)]
    number = {k: n for n, group in enumerate(sorted(chosen, key=min)) for k in group}
    return tuple(number[k] for k in range(size))
