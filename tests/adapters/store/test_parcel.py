from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.store import parcel as module
from foreshard.adapters.store.parcel import Parcel, read_parcel, write_parcel
from foreshard.model.errors import StoreError

SAMPLE = Parcel(
    kind="model",
    head={"learner": "hazard", "horizons_s": [300.0, 3600.0]},
    arrays={"a/b c": np.arange(12, dtype=np.float32).reshape(3, 4), "empty": np.zeros((0, 2))},
    texts={"tree": "tree\nnum_leaves=3\n" * 50},
)


def test_what_was_written_is_read_to_the_bit(tmp_path: Path) -> None:
    digest = write_parcel(tmp_path / "x.model", SAMPLE)
    found = read_parcel(tmp_path / "x.model", "model")
    assert found.digest == digest
    assert found.head == SAMPLE.head
    assert found.texts == SAMPLE.texts
    for name, array in SAMPLE.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_the_same_contents_make_the_same_bytes(tmp_path: Path) -> None:
    write_parcel(tmp_path / "one", SAMPLE)
    write_parcel(tmp_path / "other", SAMPLE)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@given(where=st.floats(0.0, 1.0, exclude_max=True), how=st.sampled_from(["cut", "flip", "drop"]))
def test_a_damaged_file_is_refused_or_is_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, where: float, how: str
) -> None:
    path = tmp_path_factory.mktemp("parcel") / "x.model"
    write_parcel(path, SAMPLE)
    content = bytearray(path.read_bytes())
    at = int(where * len(content))
    if how == "cut":
        content = content[:at]
    elif how == "flip":
        content[at] ^= 0x55
    else:
        del content[at : at + 7]
    path.write_bytes(content)
    try:
        found = read_parcel(path, "model")
    except StoreError:
        return
    # A bit that means nothing, such as the moment of a member.
    assert found.head == SAMPLE.head
    assert found.texts == SAMPLE.texts
    for name, array in SAMPLE.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged"),
        (b"tree\nversion=v4\n", "damaged"),
        (b"PK\x05\x06" + b"\0" * 18, "damaged"),
    ],
)
def test_a_foreign_file_is_refused_with_a_reason(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=said):
        read_parcel(path, "model")


def rewritten(path: Path, **changes: object) -> None:
    with ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["head.json"] = json.dumps({**json.loads(members["head.json"]), **changes}).encode()
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_newer_format_another_kind_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    write_parcel(path, SAMPLE)
    with pytest.raises(StoreError, match="another kind"):
        read_parcel(path, "forecast")
    rewritten(path, format=99)
    with pytest.raises(StoreError, match="newer Foreshard"):
        read_parcel(path, "model")
    with pytest.raises(StoreError, match="no such file"):
        read_parcel(tmp_path / "none", "model")


def test_an_array_of_objects_is_neither_written_nor_read(tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    with pytest.raises(StoreError, match="as data"):
        write_parcel(path, Parcel(kind="model", arrays={"a": np.array([{}], dtype=object)}))
    assert not path.exists()


def test_what_claims_to_be_huge_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.model"
    write_parcel(path, SAMPLE)
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    with pytest.raises(StoreError, match="too large"):
        read_parcel(path, "model")


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    write_parcel(path, SAMPLE)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="as data"):
        write_parcel(path, Parcel(kind="model", head={"p": float("nan")}))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.model"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_parcel(tmp_path / "file" / "x.model", SAMPLE)
