"""This module is the request classes by themselves, as the API and its files hold them.

The same keys mean the same as in the configuration, and the same errors are told. What is more:
here a class that never gets a request is refused, unless it stood there before, and what a class
owns in cells (replicas, a hand-over) stays as the configuration has it, since data moves by it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from string import printable
from typing import Annotated, Any
from urllib.parse import quote

import yaml
from pydantic import Field, ValidationError, create_model

from foreshard.config.consistency import Contradiction, contradictions
from foreshard.config.field import CategoryName, Label, Strict
from foreshard.config.reading import read_as
from foreshard.config.settings import Settings
from foreshard.config.workload import ClassSettings, ServiceMap
from foreshard.model.errors import ConfigError, EditError, InvalidValueError
from foreshard.model.service_map import circle_in
from foreshard.model.workload import Match
from foreshard.router.path import normalised

__all__ = [
    "Catalogue",
    "Footing",
    "TagSettings",
    "catalogue_text",
    "read_catalogue",
    "read_class",
    "read_tag",
]

HINT = "what GET says"
# A listener with more of them costs every request too much.
MOST_CLASSES = 500
# Stands for a URL of a hand-over, which may hold what proves who one is; a name that nobody is
# ever given (RFC 6761). Sent back, it means the URL that the configuration has.
HIDDEN_URL = "https://hidden.invalid/"
MOST_DECLINED = 1_000
EndpointName = Annotated[str, Field(max_length=600, pattern=r"^[A-Z]+ /[^\s]*$")]
PARAMETER = re.compile(r"\{[^/]*\}")
# What says where data lies.
OWNED = ("replicas", "handover", "key_header", "regions", "cells")


class TagSettings(Strict):
    """What a person says of the cost of a class; it wins over what was found."""

    category: CategoryName = Field(description="Name of the category.")
    note: str = Field(default="", max_length=500, description="For people.")
    by: str = Field(default="", max_length=100, description="Who said so; set by Foreshard.")
    at_s: float = Field(
        default=0.0, ge=0.0, description="When, seconds since the epoch; set by Foreshard."
    )


class Catalogue(Strict):
    """The request classes of a Foreshard, and what is said of them."""

    classes: list[ClassSettings] = Field(
        min_length=1, max_length=MOST_CLASSES, description="In order of match."
    )
    default_class: str = Field(description="The class of requests that match none.")
    service_map: ServiceMap = Field(
        default_factory=dict,
        description="What a dependency needs itself, by its name; a class depends on all of it.",
    )
    tags: dict[Label, TagSettings] = Field(
        default_factory=dict, description="By class, what a person says of it."
    )
    declined: list[EndpointName] = Field(
        default_factory=list,
        max_length=MOST_DECLINED,
        description="Endpoints (`GET /users/{id}`) that a person left to the default class.",
    )

    def named(self, name: str) -> ClassSettings | None:
        """The class of that name; None = there is none."""
        return next((each for each in self.classes if each.name == name), None)

    def document(self) -> dict[str, Any]:
        """As JSON values; what has its usual value is left out."""
        made: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return made

    def hidden(self) -> Catalogue:
        """The same for all eyes: without what may prove who one is."""
        return self.model_copy(
            update={"classes": [_with_url(c, HIDDEN_URL) for c in self.classes]}
        )

    @property
    def digest(self) -> str:
        """Equal for equal classes, whatever tags they have and whatever was declined."""
        values = self.model_dump(mode="json", exclude={"tags", "declined"})
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Footing:
    """What a catalogue has to fit to: the cells, and the classes of the configuration.

    Args:
        settings: The configuration, as its file says it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.file = Catalogue(
            classes=settings.classes,
            default_class=settings.default_class,
            service_map=settings.service_map,
        )
        # What rules look at, as plain values and without what is none of theirs.
        self._values: dict[str, Any] = {
            "cells": [{"name": c.name, "region": c.region} for c in settings.cells],
            "scrape": {"gauges": [g.model_dump() for g in settings.scrape.gauges]},
        }

    def restored(self, document: Mapping[str, Any]) -> Catalogue:
        """A catalogue that was kept, if it still fits.

        Raises:
            EditError: It does not: the configuration has changed since.
        """
        made = self.kept(document)
        self.refuse(made, before=made)
        return made

    @staticmethod
    def kept(document: Mapping[str, Any]) -> Catalogue:
        """A catalogue that was kept, whether it fits or not.

        Raises:
            EditError: It cannot be read.
        """
        try:
            return Catalogue.model_validate(document)
        except (ValidationError, InvalidValueError) as error:
            raise EditError(
                f"classes that were kept cannot be read ({error}); roll back to another version"
            ) from error

    def refuse(self, made: Catalogue, *, before: Catalogue) -> None:
        """Refuse what does not fit.

        Args:
            made: To be judged.
            before: What holds now: what was already amiss there is not told again.

        Raises:
            EditError: Something does not fit; all of it is told.
        """
        values = {**self._values, **made.model_dump()}
        found = [_told(each, made) for each in contradictions(values)]
        known = set(_doubts(before))
        found += [text for text in _doubts(made) if text not in known]
        found += _moved_data(made, self.file)
        if found:
            raise EditError("; ".join(found))

    def uncovered(self, made: Catalogue) -> Catalogue:
        """A catalogue as it was sent, with the URLs that were hidden from whoever read it."""
        urls = {c.name: c.handover.webhook for c in self.file.classes if c.handover is not None}
        classes = [
            _with_url(each, urls[each.name])
            if each.handover is not None
            and each.handover.webhook == HIDDEN_URL
            and each.name in urls
            else each
            for each in made.classes
        ]
        return made.model_copy(update={"classes": classes})

    def fitted(self, made: Catalogue) -> Settings:
        """The configuration with these classes."""
        update = {
            "classes": made.classes,
            "default_class": made.default_class,
            "service_map": made.service_map,
        }
        return self.settings.model_copy(update=update)


def read_catalogue(text: str) -> Catalogue:
    """A catalogue in YAML or JSON.

    Raises:
        ConfigError: Something in it is wrong; all errors are told.
    """
    return read_as(text, name="catalogue", root=Catalogue, rules=_inner, hint=HINT)


def read_class(text: str, *, name: str) -> ClassSettings:
    """One class in YAML or JSON.

    Args:
        text: Its keys; `name` may be left out.
        name: How it is called.

    Raises:
        ConfigError: Something in it is wrong, or it calls itself otherwise.
    """
    body = create_model("Body", __base__=ClassSettings, name=(Label, name))
    made = read_as(text, name=f"class {name}", root=body, rules=_of_class, hint=HINT)
    if made.name != name:
        raise ConfigError(
            f"class: name is {made.name!r}, but {name!r} in the address; make them one"
        )
    return ClassSettings.model_validate(made.model_dump())


def read_tag(text: str) -> TagSettings:
    """A tag in YAML or JSON.

    Raises:
        ConfigError: Something in it is wrong.
    """
    return read_as(text, name="tag", root=TagSettings, rules=lambda _: (), hint=HINT)


def catalogue_text(catalogue: Catalogue) -> str:
    """A catalogue as YAML, as `read_catalogue` reads it."""
    text: str = yaml.safe_dump(catalogue.document(), sort_keys=False, allow_unicode=True)
    return text


def _with_url(each: ClassSettings, url: str) -> ClassSettings:
    if each.handover is None:
        return each
    return each.model_copy(update={"handover": each.handover.model_copy(update={"webhook": url})})


def _inner(values: Mapping[str, Any]) -> tuple[Contradiction, ...]:
    """What can be told without the cells."""
    return contradictions({**values, "cells": [], "scrape": {}})


def _of_class(values: Mapping[str, Any]) -> tuple[Contradiction, ...]:
    found = contradictions({"classes": [dict(values)]})
    return tuple(Contradiction(where=each.where[2:], says=each.says) for each in found)


def _told(found: Contradiction, made: Catalogue) -> str:
    """Classes by their names: nobody counts them."""
    where = found.where
    if len(where) > 2 and where[0] == "classes" and isinstance(where[1], int):
        rest = ".".join(str(part) for part in where[2:])
        return f"class {made.classes[where[1]].name}: {rest} {found.says}"
    return f"{found.key} {found.says}"


def _doubts(made: Catalogue) -> Iterator[str]:
    """Classes that no request ever reaches, tags of none, dependencies in a circle."""
    matches = [(each.name, each.match.noun()) for each in made.classes]
    for at, (name, match) in enumerate(matches):
        earlier = next((who for who, wider in matches[:at] if wider.covers(match)), None)
        if earlier is None:
            continue
        if match == dict(matches)[earlier]:
            yield f"class {name}: has the match of class {earlier}; change one of the two"
        else:
            yield (
                f"class {name}: never gets a request, class {earlier} before it takes them all; "
                "put it first, or narrow the other"
            )
    for name, match in matches:
        yield from (f"class {name}: {text}" for text in _never_seen(match))
    for name in made.tags.keys() - dict(matches).keys():
        yield f"tag of {name!r}: there is no such class; leave it out"
    needs = {name: set(others) for name, others in made.service_map.items()}
    for each in made.classes:
        needs.setdefault(each.name, set()).update(each.dependencies)
    if circle := circle_in(needs):
        yield f"dependencies go in a circle: {' -> '.join(circle)}; leave one of these out"


def _never_seen(match: Match) -> Iterator[str]:
    """Paths that no request has when its class is decided: balancers normalise them first."""
    samples = {
        "path_prefix": match.path_prefix and f"{match.path_prefix}x",
        "path_template": PARAMETER.sub("x", match.path_template),
    }
    for key, path in samples.items():
        seen = normalised(quote(path, safe=printable)) if path else path
        if seen != path:
            yield (
                f"match.{key} is {getattr(match, key)!r}, which no request has: balancers see "
                f"{path!r} as {seen!r}; write it as they see it"
            )


def _moved_data(made: Catalogue, file: Catalogue) -> Iterator[str]:
    """What owns data may not be moved by a change of its class."""
    owning = {each.name: each for each in file.classes if each.replicas}
    for name, each in owning.items():
        now = made.named(name)
        if now is None:
            yield f"class {name}: owns data; the configuration alone may remove it"
            continue
        for key in OWNED:
            if getattr(now, key) != getattr(each, key):
                yield (
                    f"class {name}: owns data, so the configuration alone may change its {key}; "
                    "leave it as it is there"
                )
    for each in made.classes:
        if (each.replicas or each.handover) and each.name not in owning:
            yield f"class {each.name}: replicas and handover belong in the configuration"
