from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foreshard.adapters.store.parcel import Parcel
from foreshard.adapters.store.shelf import KEPT_OTHERS, Note, Shelf
from foreshard.model.errors import StoreError


def model(number: int) -> Parcel:
    return Parcel(kind="model", head={"n": number}, arrays={"w": np.array([number])})


def shelf_with(directory: Path, count: int) -> tuple[Shelf, tuple[str, ...]]:
    shelf = Shelf(directory, "hazard")
    return shelf, tuple(shelf.keep(model(i), at_s=1e9 + i) for i in range(count))


def test_models_are_listed_by_age_and_read_back(tmp_path: Path) -> None:
    shelf, ids = shelf_with(tmp_path, 3)
    assert shelf.ids() == ids
    assert [shelf.read(name).head["n"] for name in ids] == [0, 1, 2]
    assert Shelf.learners(tmp_path) == ("hazard",)
    assert Shelf.learners(tmp_path / "none") == ()
    assert shelf.note() == Note()


def test_a_promoted_model_flies_and_roll_back_goes_one_back(tmp_path: Path) -> None:
    shelf, ids = shelf_with(tmp_path, 3)
    for name in ids:
        shelf.promote(name, at_s=5.0)
    assert shelf.note() == Note(champion=ids[2], before=ids[:2], since_s=5.0)
    assert shelf.promote(ids[2], at_s=6.0).since_s == 5.0
    assert shelf.roll_back(at_s=7.0).champion == ids[1]
    assert shelf.roll_back(at_s=8.0).champion == ids[0]
    with pytest.raises(StoreError, match="none flew before"):
        shelf.roll_back(at_s=9.0)
    assert shelf.note().champion == ids[0]


def test_a_damaged_model_is_neither_promoted_nor_rolled_back_to(tmp_path: Path) -> None:
    shelf, ids = shelf_with(tmp_path, 2)
    shelf.promote(ids[0], at_s=1.0)
    shelf.promote(ids[1], at_s=2.0)
    path = tmp_path / "hazard" / f"{ids[0]}.model"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="damaged"):
        shelf.roll_back(at_s=3.0)
    with pytest.raises(StoreError, match="damaged"):
        shelf.promote(ids[0], at_s=3.0)
    assert shelf.note().champion == ids[1]


def test_a_broken_note_is_said_and_promoting_writes_it_anew(tmp_path: Path) -> None:
    shelf, ids = shelf_with(tmp_path, 1)
    (tmp_path / "hazard" / "champion.json").write_text("{half")
    with pytest.raises(StoreError, match="cannot be read"):
        shelf.note()
    assert shelf.promote(ids[0], at_s=1.0).champion == ids[0]
    assert shelf.note().champion == ids[0]


@pytest.mark.parametrize("name", ["../secret", "", "a/b", ".hidden"])
def test_an_id_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    shelf, _ = shelf_with(tmp_path, 1)
    with pytest.raises(StoreError, match="no id"):
        shelf.read(name)
    with pytest.raises(StoreError, match="learner"):
        Shelf(tmp_path, name)


def test_old_challengers_are_dropped_and_champions_are_not(tmp_path: Path) -> None:
    shelf, ids = shelf_with(tmp_path, KEPT_OTHERS + 5)
    shelf.promote(ids[0], at_s=1.0)
    shelf.promote(ids[1], at_s=2.0)
    assert shelf.drop_old() == ids[2:5]
    assert shelf.ids() == (*ids[:2], *ids[5:])
