from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.table_frame import frame_of, pack_frame, unpack_frame
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from tests.router.router_tables import NAMES, free, keyed, routing, slots

TABLE = routing(keyed({"eu": slots(("eu-1", 6), ("us-1", 2))}), free({}), version=7)
FRAME = frame_of(TABLE)
KEY = Seal(b"0123456789abcdef")


def test_a_table_comes_out_as_it_went_in() -> None:
    assert unpack_frame(pack_frame(FRAME, KEY, on=None), KEY, held=None) == FRAME


def test_what_is_held_is_not_sent_again() -> None:
    short = pack_frame(FRAME, KEY, on=FRAME)
    assert len(short) < 300
    assert unpack_frame(short, KEY, held=FRAME) is FRAME
    other = frame_of(routing(version=8))
    for held in (None, other):
        with pytest.raises(SinkError, match="repeats table 7, which is not at hand"):
            unpack_frame(short, KEY, held=held)


@given(st.data())
def test_no_byte_can_be_changed_or_lost(data: st.DataObject) -> None:
    content = bytearray(pack_frame(FRAME, KEY, on=None))
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    with pytest.raises(SinkError):
        unpack_frame(bytes(content), KEY, held=None)


def test_of_a_table_that_changed_only_the_changed_classes_travel_and_are_made_anew() -> None:
    row = slots(("eu-1", 4), ("us-1", 4))
    new = frame_of(
        RoutingTable(
            version=8,
            cells=TABLE.cells,
            classes=(replace(TABLE.classes[0], rows={"eu": row}), *TABLE.classes[1:]),
            default_class="search",
        )
    )
    content = pack_frame(new, KEY, on=FRAME)
    assert content.count(b"\n") == 2
    found = unpack_frame(content, KEY, held=FRAME)
    assert found == new
    assert found.table.cells is FRAME.table.cells
    assert found.table.classes[1] is FRAME.table.classes[1]
    with pytest.raises(SinkError, match="lacks part"):
        unpack_frame(content, KEY, held=None)
    with pytest.raises(SinkError, match="1 parts that belong to no table"):
        unpack_frame(content + b"\n{}", KEY, held=FRAME)


def test_another_key_another_format_and_another_version_are_refused() -> None:
    content = pack_frame(FRAME, Seal(), on=None)
    with pytest.raises(SinkError, match="must be hmac-sha256"):
        unpack_frame(content, KEY, held=None)
    line, _, body = content.partition(b"\n")
    for change, words in (({"format": 2}, "format is 2"), ({"version": 8}, "does not fit")):
        changed = json.dumps({**json.loads(line), **change}).encode() + b"\n" + body
        with pytest.raises(SinkError, match=words):
            unpack_frame(changed, Seal(), held=None)


def test_the_names_of_cells_are_those_of_the_table() -> None:
    assert {cell.name for cell in FRAME.table.cells} == set(NAMES)
