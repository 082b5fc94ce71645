"""This module is a split of a flow as a row of an array, of many cells mostly zeros.

In a fleet of several regions a flow has a share in a few cells of very many, so that the row is
filled from the shares there are, not asked for each cell.
"""

from __future__ import annotations

from collections.abc import Mapping

from foreshard.model.plan import Split
from foreshard.planning.problem import Floats

__all__ = ["lay_out"]


def lay_out(split: Split, index: Mapping[str, int], row: Floats) -> None:
    """Put the shares of a split into its row; a cell that is not in the index gets no place.

    Args:
        split: Of one flow.
        index: Place of every cell.
        row: [C] zeros; changed.
    """
    shares = split.shares
    try:
        row[list(map(index.__getitem__, shares))] = list(shares.values())
    except KeyError:
        for name, share in shares.items():
            if name in index:
                row[index[name]] = share
