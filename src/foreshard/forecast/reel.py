"""This module is a reel: the newest samples of a fleet, lying side by side in the order of time.

New samples are written behind the old ones; when the end is reached, those still wanted move to
the front, cell by cell. So the newest are always one block that can be looked at without a copy,
and the room is bounded: an eighth more than what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reel", "Strip", "bytes_of_sample", "room_of"]

# One part in so many is kept free behind the newest sample, and never less than this.
SLACK = 8
LEAST_SLACK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """K samples of C cells and G gauges; see `History` for what they mean.

    Attributes:
        value: float32 [C, G, K].
        load: float32 [C, K].
        up_s: float32 [C, K].
        censored: bool [C, K].
    """

    value: NDArray[np.float32]
    load: NDArray[np.float32]
    up_s: NDArray[np.float32]
    censored: NDArray[np.bool_]

    @classmethod
    def blank(cls, cells: int, gauges: int, samples: int) -> Strip:
        """Of which nothing is known."""
        return cls(
            value=np.full((cells, gauges, samples), np.nan, dtype=np.float32),
            load=np.full((cells, samples), np.nan, dtype=np.float32),
            up_s=np.full((cells, samples), np.nan, dtype=np.float32),
            censored=np.zeros((cells, samples), dtype=bool),
        )

    @property
    def samples(self) -> int:
        """K."""
        return int(self.load.shape[1])

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return self.value.nbytes + self.load.nbytes + self.up_s.nbytes + self.censored.nbytes

    def between(self, first: int, end: int) -> Strip:
        """A view of the samples [first, end)."""
        cut = slice(first, end)
        return Strip(
            value=self.value[:, :, cut],
            load=self.load[:, cut],
            up_s=self.up_s[:, cut],
            censored=self.censored[:, cut],
        )

    def put(self, at: int, other: Strip) -> None:
        """Write another strip of these cells and gauges, or the first of them, over this one."""
        c, g, k = other.value.shape
        self.value[:c, :g, at : at + k] = other.value
        self.load[:c, at : at + k] = other.load
        self.up_s[:c, at : at + k] = other.up_s
        self.censored[:c, at : at + k] = other.censored

    def wipe(self, first: int, end: int) -> None:
        """Forget the samples [first, end)."""
        self.value[:, :, first:end] = np.nan
        self.load[:, first:end] = np.nan
        self.up_s[:, first:end] = np.nan
        self.censored[:, first:end] = False

    def move_to_front(self, first: int, end: int) -> None:
        """Move the samples [first, end) to the front; cell by cell, so that little is copied."""
        for i in range(len(self.load)):
            for array in (self.value, self.load, self.up_s, self.censored):
                array[i, ..., : end - first] = array[i, ..., first:end].copy()


def bytes_of_sample(cells: int, gauges: int) -> int:
    """Room that one sample of a fleet takes."""
    return cells * (4 * gauges + 4 + 4 + 1)


def room_of(keep: int) -> int:
    """Samples for which there is room where `keep` of them are kept."""
    return keep + max(LEAST_SLACK, keep // SLACK)


class Reel:
    """The newest `keep` samples of a fleet; samples are numbered along time.

    Args:
        cells: How many.
        gauges: How many a cell.
        keep: Samples that are kept, >= 1.
    """

    def __init__(self, cells: int, gauges: int, keep: int) -> None:
        self.keep = keep
        self._strip = Strip.blank(cells, gauges, room_of(keep))
        self._first = self._end = 0
        self._next: int | None = None

    @property
    def nbytes(self) -> int:
        """Of memory, whether used or not."""
        return self._strip.nbytes

    @property
    def begins(self) -> int:
        """Number of the oldest sample that is kept."""
        return (self._next or 0) - (self._end - self._first)

    @property
    def ends(self) -> int | None:
        """Number after the newest sample; None = there is none."""
        return self._next

    def held(self) -> Strip:
        """A view of all that is kept, oldest first; good until the next `write`."""
        return self._strip.between(self._first, self._end)

    def of(self, begin: int, end: int) -> Strip:
        """A view of the samples numbered [begin, end), as far as they are kept."""
        origin = self._end - (self._next or 0)
        last = origin + end
        return self._strip.between(min(origin + max(begin, self.begins), last), last)

    def widened(self, strip: Strip) -> Strip:
        """A strip of the first cells and gauges as one of all of them."""
        cells, gauges, _ = self._strip.value.shape
        wide = Strip.blank(cells, gauges, strip.samples)
        wide.put(0, strip)
        return wide

    def write(self, number: int, strip: Strip) -> None:
        """Add samples behind the newest.

        Args:
            number: Of the first of them, not below `ends`; what is left out is unknown.
            strip: Of these cells and gauges.
        """
        ends = number + strip.samples
        skipped = 0 if self._next is None else number - self._next
        if skipped + strip.samples >= self.keep:
            # Nothing of before is kept, and a gap at the beginning is none.
            self._first, skipped = self._end, 0
            strip = strip.between(max(0, strip.samples - self.keep), strip.samples)
        added = skipped + strip.samples
        if self._end + added > room_of(self.keep):
            self._rewind(added)
        self._strip.wipe(self._end, self._end + skipped)
        self._strip.put(self._end + skipped, strip)
        self._end += added
        self._next = ends
        self._first = max(self._first, self._end - self.keep)

    def _rewind(self, wanted: int) -> None:
        kept = max(0, min(self._end - self._first, self.keep - wanted))
        self._strip.move_to_front(self._end - kept, self._end)
        self._first, self._end = 0, kept
