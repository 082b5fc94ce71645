"""This module is what a person asks of trained models, and which of them he lets fly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from foreshard.adapters.store.shelf import Note, Shelf
from foreshard.app.places import models_dir
from foreshard.app.shelving import unpacked
from foreshard.config import Settings
from foreshard.forecast.card import Card
from foreshard.model.errors import ConfigError, ForecastError, StoreError

__all__ = ["Listed", "card_of", "listed", "promote", "roll_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A kept model in a list.

    Attributes:
        name: Its id.
        state: `flies`, `flew`, or "".
        card: Its card; None = its file is refused.
        refused: Why; "" = it is not.
    """

    name: str
    state: str
    card: Card | None
    refused: str


def listed(settings: Settings) -> tuple[Listed, ...]:
    """All kept models, by learner and then by age."""
    found: list[Listed] = []
    for learner in Shelf.learners(models_dir(settings)):
        shelf = Shelf(models_dir(settings), learner)
        try:
            note = shelf.note()
        except StoreError as error:
            found.append(Listed(name=learner, state="", card=None, refused=str(error)))
            note = Note()
        states: Mapping[str, str] = {
            **dict.fromkeys(note.before, "flew"),
            **({note.champion: "flies"} if note.champion else {}),
        }
        for name in shelf.ids():
            card, refused = _card(shelf, name)
            found.append(Listed(name=name, state=states.get(name, ""), card=card, refused=refused))
    return tuple(found)


def card_of(settings: Settings, name: str) -> Card:
    """The card of a model.

    Raises:
        StoreError: There is none of that id, or its file is refused.
        ForecastError: Its own module refuses it.
        ConfigError: Who made it is not installed.
    """
    _, card = unpacked(_shelf_of(settings, name).read(name))
    return card


def promote(settings: Settings, name: str) -> Note:
    """Let a model fly, whatever its score.

    Raises:
        StoreError: There is none of that id, its file is refused, or the note cannot be written.
        ForecastError: Its own module refuses it.
        ConfigError: Who made it is not installed.
    """
    shelf = _shelf_of(settings, name)
    unpacked(shelf.read(name))
    return shelf.promote(name, at_s=time.time())


def roll_back(settings: Settings, learner: str) -> Note:
    """Let the one fly again that flew before.

    Raises:
        StoreError: None did, its file is refused, or the note cannot be written.
    """
    return Shelf(models_dir(settings), learner).roll_back(at_s=time.time())


def _card(shelf: Shelf, name: str) -> tuple[Card | None, str]:
    try:
        return unpacked(shelf.read(name))[1], ""
    except (StoreError, ForecastError, ConfigError) as error:
        return None, str(error)


def _shelf_of(settings: Settings, name: str) -> Shelf:
    """The shelf on which a model stands, by its id, which begins with its learner."""
    for learner in Shelf.learners(models_dir(settings)):
        shelf = Shelf(models_dir(settings), learner)
        if name in shelf.ids():
            return shelf
    there = ", ".join(each.name for each in listed(settings)) or "none: train one first"
    raise StoreError(f"models: there is no {name!r}; there are {there}")
