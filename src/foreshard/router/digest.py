"""This module is xxHash64 with seed 0 over arrays of keys, compiled, fused with the look-up.

The algorithm is Yann Collet's (xxHash specification 0.1.1, "XXH64"). The reference is the
`xxhash` package, which a property test holds it to, on every length. A key is read where it lies,
one character after another, so ASCII text is hashed without being encoded; indices are unsigned
and arrays flat, or most of the time would go into signs and views (13 ns a key instead of 4).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["BAD_TEXT", "digest", "owners_of_bytes", "owners_of_text"]

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)
WORD = np.uint64(64)
INDEX = np.uintp

Characters = NDArray[np.uint8] | NDArray[np.uint32]
Index = int | np.uintp

BAD_TEXT = -1
"""In place of an owner: the key is no text."""


@njit(cache=True, nogil=True, inline="always")
def _turned(x: np.uint64, by: np.uint64) -> np.uint64:
    return (x << by) | (x >> (WORD - by))


@njit(cache=True, nogil=True, inline="always")
def _half(data: Characters, at: np.uintp) -> np.uint64:
    """Four bytes as a number, the lowest first."""
    return (
        np.uint64(data[at])
        | np.uint64(data[at + INDEX(1)]) << np.uint64(8)
        | np.uint64(data[at + INDEX(2)]) << np.uint64(16)
        | np.uint64(data[at + INDEX(3)]) << np.uint64(24)
    )


@njit(cache=True, nogil=True, inline="always")
def _word(data: Characters, at: np.uintp) -> np.uint64:
    """Eight."""
    return _half(data, at) | _half(data, at + INDEX(4)) << np.uint64(32)


@njit(cache=True, nogil=True, inline="always")
def _mixed(accumulator: np.uint64, word: np.uint64) -> np.uint64:
    return _turned(accumulator + word * P2, np.uint64(31)) * P1


@njit(cache=True, nogil=True)
def digest(data: Characters, begin: Index, size: Index) -> np.uint64:
    """`xxh64(data[begin : begin + size], seed 0)`.

    Args:
        data: Bytes, or numbers that are bytes; one dimension, contiguous.
        begin: Where the key begins.
        size: Its bytes, >= 0.
    """
    at = INDEX(begin)
    end = at + INDEX(size)
    if size >= 32:
        a, b, c, d = P1 + P2, P2, np.uint64(0), np.uint64(0) - P1
        while at + INDEX(32) <= end:
            a = _mixed(a, _word(data, at))
            b = _mixed(b, _word(data, at + INDEX(8)))
            c = _mixed(c, _word(data, at + INDEX(16)))
            d = _mixed(d, _word(data, at + INDEX(24)))
            at += INDEX(32)
        h = _turned(a, np.uint64(1)) + _turned(b, np.uint64(7))
        h += _turned(c, np.uint64(12)) + _turned(d, np.uint64(18))
        for each in (a, b, c, d):
            h = (h ^ _mixed(np.uint64(0), each)) * P1 + P4
    else:
        h = P5
    h += np.uint64(size)
    while at + INDEX(8) <= end:
        h ^= _mixed(np.uint64(0), _word(data, at))
        h = _turned(h, np.uint64(27)) * P1 + P4
        at += INDEX(8)
    if at + INDEX(4) <= end:
        h ^= _half(data, at) * P1
        h = _turned(h, np.uint64(23)) * P2 + P3
        at += INDEX(4)
    while at < end:
        h ^= np.uint64(data[at]) * P5
        h = _turned(h, np.uint64(11)) * P1
        at += INDEX(1)
    h = (h ^ (h >> np.uint64(33))) * P2
    h = (h ^ (h >> np.uint64(29))) * P3
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True)
def owners_of_bytes(
    keys: NDArray[np.uint8], owner: NDArray[np.unsignedinteger], mask: int
) -> NDArray[np.int32]:
    """[n] owners of the slots of keys.

    Args:
        keys: uint8 [n, width], contiguous; zeros at the end of a key are no part of it.
        owner: [N] of every slot, N a power of two.
        mask: N - 1.
    """
    n, width = keys.shape
    flat = keys.ravel()
    found = np.empty(n, dtype=np.int32)
    for i in range(n):
        begin = INDEX(i * width)
        size = _length(flat, begin, INDEX(width))
        found[i] = digest(flat, begin, size) & np.uint64(mask)
    _look_up(found, owner)
    return found


@njit(cache=True, nogil=True)
def owners_of_text(
    keys: NDArray[np.uint32], owner: NDArray[np.unsignedinteger], mask: int
) -> NDArray[np.int32]:
    """[n] owners of the slots of keys; `BAD_TEXT` for what UTF-8 has no bytes for.

    Args:
        keys: uint32 [n, width], code points, contiguous; zeros at the end are no part of a key.
        owner: [N] of every slot, N a power of two.
        mask: N - 1.
    """
    n, width = keys.shape
    flat = keys.ravel()
    found = np.empty(n, dtype=np.int32)
    room = np.empty(4 * width, dtype=np.uint8)
    for i in range(n):
        begin = INDEX(i * width)
        size = _length(flat, begin, INDEX(width))
        bits = np.uint32(0)
        for j in range(begin, begin + size):
            bits |= flat[INDEX(j)]
        if bits < 0x80:
            found[i] = digest(flat, begin, size) & np.uint64(mask)
            continue
        encoded = _encode(keys[i, :size], room)
        if encoded < 0:
            found[i] = BAD_TEXT
        else:
            found[i] = digest(room, 0, encoded) & np.uint64(mask)
    _look_up(found, owner)
    return found


@njit(cache=True, nogil=True, inline="always")
def _look_up(slots: NDArray[np.int32], owner: NDArray[np.unsignedinteger]) -> None:
    """Slots to owners, in place; by itself, so that many reads of a large row are on their way."""
    for i in range(slots.size):
        if slots[i] != BAD_TEXT:
            slots[i] = owner[slots[i]]


@njit(cache=True, nogil=True, inline="always")
def _length(data: Characters, begin: np.uintp, width: np.uintp) -> np.uintp:
    """Characters up to the last that is not zero."""
    size = width
    while size and data[begin + size - INDEX(1)] == 0:
        size -= INDEX(1)
    return size


@njit(cache=True, nogil=True)
def _encode(points: NDArray[np.uint32], room: NDArray[np.uint8]) -> int:
    """Text as UTF-8 (RFC 3629); gives its size, -1 = it is none."""
    size = 0
    for point in points:
        if point < 0x80:
            room[size] = point
            size += 1
        elif point < 0x800:
            room[size] = 0xC0 | (point >> 6)
            room[size + 1] = 0x80 | (point & 0x3F)
            size += 2
        elif point < 0x10000:
            if 0xD800 <= point < 0xE000:
                return -1
            room[size] = 0xE0 | (point >> 12)
            room[size + 1] = 0x80 | ((point >> 6) & 0x3F)
            room[size + 2] = 0x80 | (point & 0x3F)
            size += 3
        elif point < 0x110000:
            room[size] = 0xF0 | (point >> 18)
            room[size + 1] = 0x80 | ((point >> 12) & 0x3F)
            room[size + 2] = 0x80 | ((point >> 6) & 0x3F)
            room[size + 3] = 0x80 | (point & 0x3F)
            size += 4
        else:
            return -1
    return size
