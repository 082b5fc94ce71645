"""This module is xxHash64 with seed 0 over arrays of keys, compiled, fused with the look-up.

The algorithm is Yann Collet's (xxHash specification 0.1.1, "XXH64"). The reference is the
`xxhash` package, which a property test holds it to, on every length. A key is read as it lies in
the array: no object is made for it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["BAD_TEXT", "digest_bytes", "owners_of_bytes", "owners_of_text"]

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)
WORD = np.uint64(64)

BAD_TEXT = -1
"""In place of an owner: the key is no text."""


@njit(cache=True, nogil=True, inline="always")
def _turned(x: np.uint64, by: np.uint64) -> np.uint64:
    return (x << by) | (x >> (WORD - by))


@njit(cache=True, nogil=True, inline="always")
def _word(data: NDArray[np.uint8], at: int, size: int) -> np.uint64:
    """Bytes as a number, the lowest first."""
    word = np.uint64(0)
    for i in range(size):
        word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return word


@njit(cache=True, nogil=True, inline="always")
def _mixed(accumulator: np.uint64, word: np.uint64) -> np.uint64:
    return _turned(accumulator + word * P2, np.uint64(31)) * P1


@njit(cache=True, nogil=True)
def digest_bytes(data: NDArray[np.uint8], size: int) -> np.uint64:
    """`xxh64(data[:size], seed 0)`.

    Args:
        data: uint8, contiguous, at least `size` long.
        size: >= 0.
    """
    at = 0
    if size >= 32:
        a, b, c, d = P1 + P2, P2, np.uint64(0), np.uint64(0) - P1
        while at + 32 <= size:
            a = _mixed(a, _word(data, at, 8))
            b = _mixed(b, _word(data, at + 8, 8))
            c = _mixed(c, _word(data, at + 16, 8))
            d = _mixed(d, _word(data, at + 24, 8))
            at += 32
        h = _turned(a, np.uint64(1)) + _turned(b, np.uint64(7))
        h += _turned(c, np.uint64(12)) + _turned(d, np.uint64(18))
        for each in (a, b, c, d):
            h = (h ^ _mixed(np.uint64(0), each)) * P1 + P4
    else:
        h = P5
    h += np.uint64(size)
    while at + 8 <= size:
        h ^= _mixed(np.uint64(0), _word(data, at, 8))
        h = _turned(h, np.uint64(27)) * P1 + P4
        at += 8
    if at + 4 <= size:
        h ^= _word(data, at, 4) * P1
        h = _turned(h, np.uint64(23)) * P2 + P3
        at += 4
    while at < size:
        h ^= np.uint64(data[at]) * P5
        h = _turned(h, np.uint64(11)) * P1
        at += 1
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
    found = np.empty(n, dtype=np.int32)
    for i in range(n):
        size = width
        while size and keys[i, size - 1] == 0:
            size -= 1
        found[i] = owner[digest_bytes(keys[i], size) & np.uint64(mask)]
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
    found = np.empty(n, dtype=np.int32)
    room = np.empty(4 * width, dtype=np.uint8)
    for i in range(n):
        size = _encode(keys[i], room)
        if size < 0:
            found[i] = BAD_TEXT
        else:
            found[i] = owner[digest_bytes(room, size) & np.uint64(mask)]
    return found


@njit(cache=True, nogil=True)
def _encode(points: NDArray[np.uint32], room: NDArray[np.uint8]) -> int:
    """Text as UTF-8 (RFC 3629); gives its size, -1 = it is none."""
    end = points.size
    while end and points[end - 1] == 0:
        end -= 1
    size = 0
    for i in range(end):
        point = points[i]
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
