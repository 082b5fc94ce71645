from __future__ import annotations

from pathlib import Path

import pytest

from foreshard.app.deciding import _store
from foreshard.model.errors import StoreError


def test_a_damaged_store_is_put_aside_and_steering_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with _store(directory) as store:
        store.put("status", {"version": 1})
    for file in directory.iterdir():
        file.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with _store(directory) as store:
        assert store.get("status") is None
    assert len(list(tmp_path.glob("state.damaged-*"))) == 1


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    with pytest.raises(StoreError, match="cannot be made"):
        _store(tmp_path / "state")
