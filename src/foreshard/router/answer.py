"""This module is what a router answers: a cell, or in so many words why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from foreshard.model.topology import Cell

if TYPE_CHECKING:
    # A router that is asked one key at a time loads no arrays for its answers.
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Answer", "Batch", "Nowhere", "Refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The plan sheds this request: answer 429 (gRPC: RESOURCE_EXHAUSTED) and ask no cell.

    Attributes:
        retry_after_s: When the client may try again, as Envoy says in `Retry-After`.
    """

    retry_after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nowhere:
    """There is no plan for this request; what to do without one is for the application to say.

    Attributes:
        because: For people.
    """

    because: str


Answer: TypeAlias = Cell | Refused | Nowhere
"""Where one request goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Where many requests of one class go.

    Attributes:
        cells: All cells that the class may be sent to now.
        index: int32 [n], by request its place in `cells`; -1 = refused.
        retry_after_s: When those that are refused may try again.
        version: Of the table.
    """

    cells: tuple[Cell, ...]
    index: NDArray[np.int32]
    retry_after_s: int
    version: int
