"""The compiled hash is xxhash's own, on every length and every kind of text."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.router.digest import BAD_TEXT, digest, owners_of_bytes, owners_of_text

EVERY = np.arange(1 << 16, dtype=np.uint16)
MASK = EVERY.size - 1


def slots(keys: list[str]) -> list[int]:
    return [xxhash.xxh64_intdigest(key.encode(), 0) & MASK for key in keys]


@pytest.mark.parametrize("size", range(101))
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_bytes_of_every_length_hash_as_xxhash_says(size: int, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, max(size, 1), dtype=np.uint8)
    wanted = xxhash.xxh64_intdigest(data[:size].tobytes(), 0)
    assert int(digest(data, 0, size)) == wanted
    padded = np.concatenate((np.ones(3, dtype=np.uint8), data, data))
    assert int(digest(padded, 3, size)) == wanted
    assert int(digest(data.astype(np.uint32), 0, size)) == wanted


@given(st.lists(st.binary(max_size=100).map(lambda b: b.rstrip(b"\0")), min_size=1, max_size=8))
def test_an_array_of_bytes_has_the_slots_of_its_keys(keys: list[bytes]) -> None:
    array = np.array(keys, dtype="S100").view(np.uint8).reshape(len(keys), -1)
    wanted = [xxhash.xxh64_intdigest(key, 0) & MASK for key in keys]
    assert owners_of_bytes(array, EVERY, MASK).tolist() == wanted


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(
            lambda text: text.rstrip("\0")
        ),
        min_size=1,
        max_size=8,
    )
)
def test_an_array_of_text_has_the_slots_of_its_keys(keys: list[str]) -> None:
    array = np.array(keys, dtype="U60").view(np.uint32).reshape(len(keys), -1)
    assert owners_of_text(array, EVERY, MASK).tolist() == slots(keys)


def test_what_is_no_text_gets_no_owner() -> None:
    points = np.array([[0x61], [0xD800], [0xDFFF], [0x110000], [0x10FFFF]], dtype=np.uint32)
    found = owners_of_text(points, EVERY, MASK).tolist()
    assert found == [*slots(["a"]), BAD_TEXT, BAD_TEXT, BAD_TEXT, *slots(["\U0010ffff"])]
