"""What a relay is sent and keeps: every byte counts, and nothing is half believed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.envoy.edition import Edition, edition, pack, unpack
from foreshard.adapters.routing.envoy.snapshot import snapshot
from foreshard.adapters.routing.seal import Seal
from foreshard.model.errors import SinkError
from tests.adapters.routing.xds_peer import small_world

KEY = Seal(b"a key that is long enough")
PLAIN = Seal()


def made(
    routes: Mapping[str, Iterable[str]],
    *,
    revision: int = 0,
    version: int = 41,
    origin: str = "eu",
) -> Edition:
    found = asyncio.run(snapshot(small_world(routes, revision=revision)))
    return edition(origin, version, 1_700_000_000.5, found)


OLD = made({"search": ["a", "b"], "checkout": ["a"]})
NEW = made({"search": ["b", "c"], "report": ["c"]}, revision=1, version=42)


@pytest.mark.parametrize("seal", [PLAIN, KEY], ids=["checksum", "signature"])
def test_an_edition_comes_back_as_it_was(seal: Seal) -> None:
    assert unpack(pack(OLD, seal), seal, origin="eu") == OLD


@pytest.mark.parametrize("seal", [PLAIN, KEY], ids=["checksum", "signature"])
def test_a_difference_leads_to_the_same_edition_as_all_of_it(seal: Seal) -> None:
    difference = pack(NEW, seal, on=OLD)
    assert (
        unpack(difference, seal, origin="eu", on=OLD)
        == NEW
        == unpack(pack(NEW, seal), seal, origin="eu")
    )


def test_a_heartbeat_carries_no_resources() -> None:
    beat = pack(OLD, PLAIN, on=OLD)
    assert beat.endswith(b"\n")
    assert unpack(beat, PLAIN, origin="eu", on=OLD) == OLD


def test_a_small_change_is_a_small_difference() -> None:
    many = {f"class-{i}": [f"cell-{i}"] for i in range(200)}
    before, after = made(many), made({**many, "class-7": ["cell-8"]}, version=42)
    assert len(pack(after, PLAIN, on=before)) < len(pack(after, PLAIN)) / 50


def test_a_difference_to_another_edition_is_refused() -> None:
    with pytest.raises(SinkError, match="builds on edition"):
        unpack(pack(NEW, PLAIN, on=OLD), PLAIN, origin="eu")
    with pytest.raises(SinkError, match="builds on edition"):
        unpack(pack(NEW, PLAIN, on=OLD), PLAIN, origin="eu", on=NEW)


@given(st.data())
@pytest.mark.parametrize("seal", [PLAIN, KEY], ids=["checksum", "signature"])
def test_whatever_byte_is_damaged_it_is_refused(seal: Seal, data: st.DataObject) -> None:
    content = bytearray(pack(OLD, seal))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SinkError):
        unpack(bytes(content), seal, origin="eu")


@given(st.integers(0, len(pack(OLD, PLAIN)) - 1))
def test_wherever_it_is_cut_off_it_is_refused(length: int) -> None:
    with pytest.raises(SinkError):
        unpack(pack(OLD, PLAIN)[:length], PLAIN, origin="eu")


@given(st.binary(max_size=200))
def test_what_is_no_edition_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(SinkError, match=r"."):
        unpack(content, PLAIN, origin="eu")


def test_a_newer_format_is_refused_by_its_number() -> None:
    line, _, body = pack(OLD, PLAIN).partition(b"\n")
    header = {**json.loads(line), "format": 2}
    with pytest.raises(SinkError, match=r"format is 2, this Foreshard reads 1 only"):
        unpack(json.dumps(header).encode() + b"\n" + body, PLAIN, origin="eu")


def test_who_lacks_the_key_can_neither_make_nor_change_an_edition() -> None:
    with pytest.raises(SinkError, match=r"the same envoy\.relay_key_file, or neither"):
        unpack(pack(OLD, PLAIN), KEY, origin="eu")
    with pytest.raises(SinkError, match=r"the same envoy\.relay_key_file, or neither"):
        unpack(pack(OLD, KEY), PLAIN, origin="eu")
    with pytest.raises(SinkError, match="made with another key"):
        unpack(pack(OLD, Seal(b"another key of some length")), KEY, origin="eu")


def test_an_edition_that_would_leave_a_proxy_without_a_door_is_refused() -> None:
    world = small_world({"search": ["a"]})
    bare = asyncio.run(snapshot(world))
    without = type(bare)(
        resources={url: named for url, named in bare.resources.items() if "Listener" not in url}
    )
    with pytest.raises(SinkError, match="no Listener"):
        unpack(pack(edition("eu", 1, 0.0, without), PLAIN), PLAIN, origin="eu")


def test_an_edition_of_another_region_is_refused_by_its_name() -> None:
    with pytest.raises(SinkError, match="it is for origin 'us', not 'eu'"):
        unpack(pack(made({"search": ["a"]}, origin="us"), KEY), KEY, origin="eu")
