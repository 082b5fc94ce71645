"""This module is many keys at once: arrays in, an array out, the same answers as one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import InvalidValueError
from foreshard.router.digest import BAD_TEXT, owners_of_bytes, owners_of_text
from foreshard.router.lane import GOLDEN, Lane, digest_of

__all__ = ["places_of"]

# Tells batches apart as single requests are: the plastic number's share of the line, which has
# no ratio with the golden one, so that the points of batches do not fall on one another.
PLASTIC = 0xC13FA9A902A6328F
SIZED = "US"


def places_of(lane: Lane, keys: NDArray[Any] | Sequence[object]) -> NDArray[np.int32]:
    """[n] for every key its place in `lane.answers`.

    Args:
        lane: Of the class and the origin.
        keys: [n]; see `Router.route_many`.

    Raises:
        InvalidValueError: The keys are of another kind, or not one dimension.
    """
    if isinstance(keys, str | bytes):
        raise InvalidValueError(f"keys is {keys!r}, one key; give an array, or use route()")
    # Columns of data frames and the like; what is no array at all becomes one of no dimension.
    given = None if isinstance(keys, list | tuple) else np.asarray(keys)
    if given is not None and given.ndim != 1:
        raise InvalidValueError(
            f"keys has shape {given.shape}, must be one dimension: an array, a list or a tuple"
        )
    owner = np.frombuffer(lane.owner, dtype=f"u{lane.owner.itemsize}")
    if not lane.is_keyed:
        cuts = np.array(lane.cuts, dtype=np.uint64)
        return owner[np.searchsorted(cuts, _points(lane, len(keys)), side="right")].astype(
            np.int32
        )
    if given is None or given.dtype.kind not in SIZED:
        return _one_by_one(lane, keys if given is None else given, owner)
    if given.dtype.itemsize == 0 or not len(given):
        return np.full(len(given), owner[digest_of("") & lane.mask], dtype=np.int32)
    whole = np.ascontiguousarray(given, dtype=given.dtype.newbyteorder("="))
    if whole.dtype.kind == "S":
        return owners_of_bytes(whole.view(np.uint8).reshape(len(whole), -1), owner, lane.mask)
    found = owners_of_text(whole.view(np.uint32).reshape(len(whole), -1), owner, lane.mask)
    wrong = np.flatnonzero(found == BAD_TEXT)
    if wrong.size:
        digest_of(str(whole[wrong[0]]))
    return found


def _points(lane: Lane, n: int) -> NDArray[np.uint64]:
    """[n] places on the line, as even among themselves as those of single requests."""
    first = np.uint64(next(lane.turns) * PLASTIC % 2**64)
    return first + np.arange(n, dtype=np.uint64) * np.uint64(GOLDEN)


def _one_by_one(
    lane: Lane, keys: NDArray[Any] | Sequence[object], owner: NDArray[np.unsignedinteger]
) -> NDArray[np.int32]:
    """Objects and sequences; who has no key (None) goes anywhere."""
    if isinstance(keys, np.ndarray) and keys.dtype.kind not in "OT":
        raise InvalidValueError(
            f"keys have dtype {keys.dtype}, must be text or bytes as they stand in the key "
            "header, such as keys.astype(str)"
        )
    slots = np.fromiter(
        (-1 if key is None else digest_of(key) & lane.mask for key in keys), np.int64, len(keys)
    )
    none = np.flatnonzero(slots < 0)
    if none.size:
        shift = np.uint64(64 - lane.mask.bit_length())
        # Of one slot all keys have the same.
        slots[none] = _points(lane, none.size) >> shift if lane.mask else 0
    return owner[slots].astype(np.int32)
