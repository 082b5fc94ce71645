"""This module is models between their files and their work."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from foreshard.adapters.store.parcel import Parcel
from foreshard.adapters.store.shelf import Shelf
from foreshard.app.learning import GROUP
from foreshard.forecast.card import Card
from foreshard.forecast.learner import RiskModel, Snapshot
from foreshard.forecast.refit import Flying
from foreshard.model.errors import ConfigError, ForecastError, StoreError

__all__ = ["flying", "packed", "restored", "unpacked"]

KIND = "model"


def packed(model: RiskModel, card: Card) -> Parcel:
    """A model and its card as a file holds them."""
    snapshot = model.snapshot()
    return Parcel(
        kind=KIND,
        head={
            "card": dict(card.values()),
            "snapshot": {"kind": snapshot.kind, "settings": dict(snapshot.settings)},
        },
        arrays=snapshot.arrays,
        texts=snapshot.texts,
    )


def unpacked(parcel: Parcel) -> tuple[RiskModel, Card]:
    """The model and the card in a file.

    Raises:
        StoreError: The file holds none.
        ForecastError: The model's own module refuses it.
        ConfigError: Who made it is not installed.
    """
    try:
        card = Card.of(parcel.head["card"])
        told = parcel.head["snapshot"]
        snapshot = Snapshot(
            kind=str(told["kind"]),
            settings=dict(told["settings"]),
            arrays=parcel.arrays,
            texts=parcel.texts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"model: its file holds no model: {error!r}") from error
    return restored(card.learner, snapshot), card


def restored(learner: str, snapshot: Snapshot) -> RiskModel:
    """The model that made a snapshot; `restore` stands beside every learner.

    Raises:
        ForecastError: It is not one of that learner's.
        ConfigError: The learner is not installed.
    """
    found = entry_points(group=GROUP, name=learner)
    if not found:
        raise ConfigError(f"model of {learner!r}: that learner is not installed")
    try:
        restore = import_module(next(iter(found)).module).restore
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"model of {learner!r}: cannot be restored ({error})") from error
    try:
        model: RiskModel = restore(snapshot)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ForecastError(
            f"model of {learner!r}: holds what is none of it: {error!r}"
        ) from error
    return model


def flying(directory: Path, learner: str) -> tuple[Flying, Card] | None:
    """The champion of a learner; None = there is none.

    Raises:
        StoreError: The note or the file is refused.
        ForecastError: The model's own module refuses it.
        ConfigError: The learner is not installed.
    """
    shelf = Shelf(directory, learner)
    name = shelf.note().champion
    if not name:
        return None
    model, card = unpacked(shelf.read(name))
    return Flying(name=name, model=model, learned_until_s=card.learned_until_s), card
