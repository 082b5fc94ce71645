"""This module is one row of the table, laid out so that a request is one look-up.

A keyed row is an array with the owner of every slot; a free row is a line from 0 to 2^64, cut in
proportion to the weights, on which the n-th request stands at `n * 2^64 / golden ratio`. That is
the sequence whose points fall most evenly, however many there are (Knuth, vol. 3, 6.4): each
cell, and what is shed, gets its exact share with no draw of chance, so no queue forms because
the dice fell badly.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import assert_never

from xxhash import xxh64_intdigest

from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import Row, SlotRow, WeightRow
from foreshard.model.topology import Cell
from foreshard.router.answer import Refused

__all__ = ["CIRCLE", "GOLDEN", "Key", "Lane", "digest_of"]

Key = str | bytes | tuple[bytes, ...]
"""What a key header says; several values where it was sent several times."""
CIRCLE = 1 << 64
GOLDEN = 0x9E3779B97F4A7C15
# Of unsigned integers of 2 bytes; more cells take 4.
MOST_SHORT = 1 << 16


def digest_of(key: object) -> int:
    """`xxh64(key, seed 0)` of text (as UTF-8) or bytes: what Envoy makes of a header.

    A sequence of several keys is hashed as Envoy hashes a header that was sent several times:
    in sorted order, the hash of one being the seed of the next.

    Raises:
        InvalidValueError: It is neither, or is text that UTF-8 has no bytes for.
    """
    match key:
        case str():
            try:
                return xxh64_intdigest(key.encode())
            except UnicodeEncodeError as error:
                raise InvalidValueError(
                    f"key {key!r} is no text (a lone surrogate), so it has no UTF-8 to hash; give "
                    "the bytes as they came"
                ) from error
        case bytes():
            return xxh64_intdigest(key)
        case tuple() if key and all(isinstance(each, bytes) for each in key):
            digest = 0
            for each in sorted(key):
                digest = xxh64_intdigest(each, digest)
            return digest
        case _:
            raise InvalidValueError(
                f"key is {key!r} ({type(key).__name__}), must be text or bytes as they stand in "
                "the key header, such as str(customer_id)"
            )


class Lane:
    """Requests of one class from one origin.

    Args:
        row: Of the table.
        cells: By name.
        refused: The answer for what is shed.
        turns: Numbers the requests that no key binds; shared by the lanes that follow this one,
            or after each new table the first cell would be the first to be asked.
    """

    __slots__ = ("answers", "cells", "cuts", "is_keyed", "mask", "owner", "row", "shed", "turns")

    def __init__(
        self, row: Row, cells: Mapping[str, Cell], refused: Refused, turns: Iterator[int]
    ) -> None:
        self.row = row
        self.turns = turns
        match row:
            case SlotRow():
                runs = [(run.owner, run.length) for run in row.runs]
            case WeightRow():
                runs = [*row.weights.items(), *([("", row.shed)] if row.shed else [])]
            case _:
                assert_never(row)
        names = sorted({name for name, _ in runs})
        self.cells = tuple(cells[name] for name in names if name)
        self.answers: tuple[Cell | Refused, ...] = (
            self.cells if names[0] else (refused, *self.cells)
        )
        """What the numbers in `owner` stand for; "refused" is the first, if it is there."""
        self.shed = int(names[0] == "")
        """How many of them are "refused"."""
        place = {name: i for i, name in enumerate(names)}
        self.is_keyed = isinstance(row, SlotRow)
        self.mask = 0
        self.owner = array("H" if len(names) <= MOST_SHORT else "I")
        """[N] of every slot; of a free class, of every piece of the line."""
        if isinstance(row, SlotRow):
            self.mask = row.slot_count - 1
            for name, length in runs:
                self.owner.extend(array(self.owner.typecode, (place[name],)) * length)
            self.cuts: list[int] = []
        else:
            self.owner.extend(place[name] for name, _ in runs)
            ends = list(accumulate(weight for _, weight in runs))
            # The last end is the end of the line, which no point reaches.
            cuts = (-(-end * CIRCLE // ends[-1]) for end in ends[:-1])
            # Rounded up, what is left of astronomic weights would lie behind the line.
            self.cuts = [min(cut, CIRCLE - 1) for cut in cuts]

    def pick(self, key: object = None) -> Cell | Refused:
        """Where a request goes.

        Args:
            key: None = it has none: then it may go anywhere, in proportion, as in Envoy. A free
                class has no use for it.

        Raises:
            InvalidValueError: The key cannot be hashed.
        """
        if self.is_keyed and key is not None:
            return self.answers[self.owner[digest_of(key) & self.mask]]
        at = (next(self.turns) * GOLDEN) % CIRCLE
        piece = at * (self.mask + 1) // CIRCLE if self.is_keyed else bisect_right(self.cuts, at)
        return self.answers[self.owner[piece]]
