"""This module is what stands behind the API: whoever knows the classes and may change them.

Every value is JSON. What is refused is raised: `ConfigError` and `EditError` of what was sent,
`NotThereError` of what is not there, `StaleEditError` of what somebody else has changed,
`UnheardError` where only a living engine could tell, `StoreError` where nothing can be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from foreshard.model.catalogue import Actor, Edit

__all__ = ["Desk", "Schemas"]

Json = Mapping[str, Any]
Schemas = Mapping[str, Json]
"""JSON Schemas of what is sent: `class`, `tag`, `catalogue`."""


class Desk(Protocol):
    """Reads and changes request classes; calls come from any thread."""

    def find(self, secret: str) -> Actor | None:
        """Who has a key; None = nobody."""

    def tag(self) -> str:
        """Entity tag of what holds."""

    def standing(self) -> Json:
        """Which version holds, which one flies, and whether an engine lives."""

    def classes(self) -> Json:
        """All classes, in order of match."""

    def one(self, name: str) -> Json:
        """One class."""

    def define(self, name: str, text: str, edit: Edit, *, before: str = "") -> Json:
        """Define a class, or replace it."""

    def endpoints(self) -> Json:
        """Which endpoints no class takes, and the class proposed for each."""

    def accept(self, method: str, template: str, edit: Edit, *, name: str) -> Json:
        """Give an endpoint a class of its own; `name` "" = the one proposed."""

    def decline(self, method: str, template: str, edit: Edit) -> Json:
        """Leave an endpoint to the default class."""

    def report(self, reports: Sequence[Json]) -> Json:
        """Take in what requests cost, by class or by path."""

    def remove(self, name: str, edit: Edit) -> Json:
        """Delete a class."""

    def set_tag(self, name: str, text: str, edit: Edit) -> Json:
        """Say of which category a class is."""

    def clear_tag(self, name: str, edit: Edit) -> Json:
        """Take it back."""

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Json:
        """Of which class a request would be."""

    def text(self) -> str:
        """All of the catalogue as YAML."""

    def replace(self, text: str, edit: Edit) -> Json:
        """Put another catalogue in place of this one."""

    def propose(self, text: str, edit: Edit) -> Json:
        """What another catalogue would move."""

    def editions(self, *, before: int | None, most: int) -> Json:
        """The newest editions first."""

    def edition(self, version: int) -> Json:
        """One edition with its classes."""

    def compare(self, one: int, other: int) -> Json:
        """What has changed from one edition to another."""

    def roll_back(self, version: int, edit: Edit) -> Json:
        """Make an edition that is as an older one."""

    def tokens(self) -> Json:
        """Every key that was ever made, without its secret."""

    def make_token(self, holder: Actor, *, by: Actor, days: float | None) -> Json:
        """A new key with its secret, which is told this once; `days` None = for ever."""

    def revoke_token(self, token_id: str, *, by: Actor) -> Json:
        """Take a key back."""

    def deeds(self, *, before: int | None, most: int) -> Json:
        """The record of who did what."""
