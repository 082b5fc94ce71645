"""This module is the desk of the request classes: what the API may ask, and what becomes of it.

Whatever is changed is judged as a whole, kept as one edition with its line in the record, and
then told to nobody: the engine looks by itself. So a change is there or not, whoever is killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.adapters.store.editions import Editions
from foreshard.adapters.store.questions import Questions
from foreshard.adapters.store.tokens import Tokens
from foreshard.app.charging import charge
from foreshard.app.describing import differences, edition_told, token_told, told
from foreshard.app.endpoints import endpoints_told, proposal, with_declined, without
from foreshard.app.heartbeat import engine_age_s, patience_s
from foreshard.app.knowing import last_endpoints, last_flown, last_profile
from foreshard.app.matching import Matcher
from foreshard.config import Settings
from foreshard.config.catalogue import (
    Catalogue,
    Footing,
    catalogue_text,
    read_catalogue,
    read_class,
    read_tag,
)
from foreshard.config.workload import ClassSettings
from foreshard.model.catalogue import Actor, Edit, Edition
from foreshard.model.errors import (
    EditError,
    NotThereError,
    StaleEditError,
    StoreError,
    UnheardError,
)

__all__ = ["ClassDesk"]

# So long a dry run waits for the engine, and so many at a time.
ANSWER_S, LOOK_S, MOST_ASKED = 15.0, 0.05, 4

DAY_S = 86_400.0

Change = Callable[[Catalogue], Catalogue]


class ClassDesk:
    """A desk on one data directory; calls may come from any thread.

    Args:
        settings: The configuration, as its file says it.
        file: Of editions and keys.
    """

    def __init__(self, settings: Settings, file: CatalogueFile) -> None:
        self._settings = settings
        self._footing = Footing(settings)
        self._file = file
        self._editions, self._tokens = Editions(file), Tokens(file)
        self._asked = threading.BoundedSemaphore(MOST_ASKED)

    def find(self, secret: str) -> Actor | None:
        """Who has a key; None = nobody, or it is no longer good."""
        token = self._tokens.find(secret)
        return token.holder if token is not None and token.is_good(time.time()) else None

    def tag(self) -> str:
        """Entity tag of what holds."""
        return self._tag_of(*self._newest())

    def classes(self) -> Mapping[str, Any]:
        """All classes in order of match, and how the catalogue stands."""
        version, catalogue = self._newest()
        report = last_profile(self._settings)
        return {
            "version": version,
            "default_class": catalogue.default_class,
            "service_map": catalogue.service_map,
            "classes": [told(each, catalogue, report) for each in catalogue.hidden().classes],
        }

    def one(self, name: str) -> Mapping[str, Any]:
        """One class.

        Raises:
            NotThereError: There is none of that name.
        """
        _, catalogue = self._newest()
        found = catalogue.hidden().named(name)
        if found is None:
            raise _no_class(name, catalogue)
        return told(found, catalogue, last_profile(self._settings))

    def define(self, name: str, text: str, edit: Edit, *, before: str = "") -> Mapping[str, Any]:
        """Define a class, or replace it.

        Args:
            name: Its name.
            text: Its keys, YAML or JSON.
            edit: By whom.
            before: Class that it comes before in the order of match; "" = where it is, and a new
                one before the first that would take all of its requests, or last.
        """
        made = read_class(text, name=name)
        return self._change(lambda now: _placed(now, made, before), edit, f"define class {name}")

    def endpoints(self) -> Mapping[str, Any]:
        """Which endpoints no class takes, and the class proposed for each."""
        return endpoints_told(self._newest()[1], last_endpoints(self._settings))

    def accept(self, method: str, template: str, edit: Edit, *, name: str) -> Mapping[str, Any]:
        """Give an endpoint the class that is proposed for it; `name` "" = the one proposed."""

        def change(now: Catalogue) -> Catalogue:
            made = proposal(now, method, template, name)
            return _placed(without(now, method, template), made, "")

        return self._change(change, edit, f"define a class for {method} {template}")

    def decline(self, method: str, template: str, edit: Edit) -> Mapping[str, Any]:
        """Leave an endpoint to the default class."""
        return self._change(
            lambda now: with_declined(now, method, template),
            edit,
            f"leave {method} {template} to the default class",
        )

    def report(self, reports: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Take in what requests cost, by class or by path."""
        return charge(self._settings, self._newest()[1], reports)

    def remove(self, name: str, edit: Edit) -> Mapping[str, Any]:
        """Delete a class; what matched it goes to the next that matches, or to the default."""

        def change(now: Catalogue) -> Catalogue:
            if now.named(name) is None:
                raise _no_class(name, now)
            rest = [each for each in now.classes if each.name != name]
            if not rest:
                raise EditError(f"class {name}: is the last one; define another one first")
            tags = {key: tag for key, tag in now.tags.items() if key != name}
            return now.model_copy(update={"classes": rest, "tags": tags})

        return self._change(change, edit, f"delete class {name}")

    def set_tag(self, name: str, text: str, edit: Edit) -> Mapping[str, Any]:
        """Say of which category a class is."""
        said = read_tag(text).model_copy(
            update={"by": edit.by.name, "at_s": round(time.time(), 3)}
        )

        def change(now: Catalogue) -> Catalogue:
            if now.named(name) is None:
                raise _no_class(name, now)
            return now.model_copy(update={"tags": {**now.tags, name: said}})

        return self._change(change, edit, f"tag class {name} as {said.category}")

    def clear_tag(self, name: str, edit: Edit) -> Mapping[str, Any]:
        """Take it back."""

        def change(now: Catalogue) -> Catalogue:
            if name not in now.tags:
                raise NotThereError(f"tag of class {name!r}: there is none; nothing is to be done")
            tags = {key: tag for key, tag in now.tags.items() if key != name}
            return now.model_copy(update={"tags": tags})

        return self._change(change, edit, f"clear the tag of class {name}")

    def text(self) -> str:
        """All of the catalogue as YAML."""
        return catalogue_text(self._newest()[1].hidden())

    def replace(self, text: str, edit: Edit) -> Mapping[str, Any]:
        """Put another catalogue in place of this one."""
        made = read_catalogue(text)
        return self._change(lambda _: made, edit, f"import {len(made.classes)} classes")

    def roll_back(self, version: int, edit: Edit) -> Mapping[str, Any]:
        """Make an edition that is as an older one; 0 = follow the file again."""
        target = self._catalogue_of(version)
        follows = version == 0 or self._edition(version).document is None
        action = f"roll back to version {version}"
        # What once held is not judged by what took its place.
        return self._change(lambda _: target, edit, action, follows_file=follows, before=target)

    def editions(self, *, before: int | None, most: int) -> Mapping[str, Any]:
        """The newest editions first."""
        found = self._editions.editions(before=before, most=most)
        return {"versions": [edition_told(each) for each in found]}

    def edition(self, version: int) -> Mapping[str, Any]:
        """One edition with its classes; 0 = the file."""
        catalogue = self._catalogue_of(version).hidden().document()
        if version == 0:
            head = {"version": 0, "at_s": None, "by": "the configuration file", "role": None}
            return {**head, "action": "", "follows_file": True, "catalogue": catalogue}
        return {**edition_told(self._edition(version)), "catalogue": catalogue}

    def compare(self, one: int, other: int) -> Mapping[str, Any]:
        """What has changed from one edition to another."""
        found = differences(self._catalogue_of(one).hidden(), self._catalogue_of(other).hidden())
        return {"from": one, "to": other, "changes": list(found)}

    def tokens(self) -> Mapping[str, Any]:
        """Every key that was ever made, without its secret."""
        return {"tokens": [token_told(each) for each in self._tokens.all()]}

    def make_token(self, holder: Actor, *, by: Actor, days: float | None) -> Mapping[str, Any]:
        """A new key with its secret, which is told this once."""
        now_s = time.time()
        expires_s = None if days is None else now_s + days * DAY_S
        token, secret = self._tokens.create(holder, by=by, now_s=now_s, expires_s=expires_s)
        return {**token_told(token), "secret": secret}

    def revoke_token(self, token_id: str, *, by: Actor) -> Mapping[str, Any]:
        """Take a key back."""
        self._tokens.revoke(token_id, by=by, now_s=time.time())
        return {"id": token_id}

    def deeds(self, *, before: int | None, most: int) -> Mapping[str, Any]:
        """The record, the newest first."""
        return {
            "deeds": [
                {
                    "id": number,
                    "at_s": deed.at_s,
                    "by": deed.by.name,
                    "role": deed.by.role.value,
                    "action": deed.action,
                    "version": deed.version,
                }
                for number, deed in self._editions.deeds(before=before, most=most)
            ]
        }

    def propose(self, text: str, edit: Edit) -> Mapping[str, Any]:
        """What another catalogue would move."""
        version, now = self._newest()
        made = self._footing.uncovered(read_catalogue(text))
        self._footing.refuse(made, before=now)
        return {"version": version, **self._rehearsed(made, edit.taken_ratio)}

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
        """Of which class a request would be."""
        _, catalogue = self._newest()
        found = Matcher(catalogue).find(method, path, headers)
        return {"class": found or catalogue.default_class, "is_default": found is None}

    def standing(self) -> Mapping[str, Any]:
        """Which version holds, which one flies, and whether an engine lives."""
        version = self._editions.newest_version()
        newest = self._editions.edition(version)
        age_s, flown = engine_age_s(self._settings), last_flown(self._settings)
        is_ignored = (
            newest is not None
            and newest.document is not None
            and newest.base != self._footing.file.digest
        )
        return {
            "version": version,
            "flown_version": flown.get("version"),
            "passed_over": flown.get("passed_over", ""),
            "engine_age_s": None if age_s is None else round(age_s, 1),
            "engine_lives": age_s is not None and age_s <= patience_s(self._settings),
            "file_is_ignored": is_ignored,
        }

    def _change(
        self,
        change: Change,
        edit: Edit,
        action: str,
        *,
        follows_file: bool = False,
        before: Catalogue | None = None,
    ) -> Mapping[str, Any]:
        """Judge a change and keep it.

        Args:
            change: Makes of what holds what is to hold.
            edit: By whom, and of what.
            action: For the record.
            follows_file: Whether what is to hold is what the file says.
            before: What was amiss there already is not told; None = in what holds. With it,
                also what cannot be read may be replaced, for nothing of it is needed.
        """
        version = self._editions.newest_version()
        try:
            now = self._catalogue_of(version)
        except (EditError, StoreError):
            if before is None:
                raise
            now, tag = before, f'"{version}-unreadable"'
        else:
            tag = self._tag_of(version, now)
        if edit.tags is not None and tag not in edit.tags:
            raise StaleEditError(
                f"If-Match is {', '.join(edit.tags)}, the classes are now {tag}: somebody else "
                "has changed them; read them again and repeat the change"
            )
        made = self._footing.uncovered(change(now))
        self._footing.refuse(made, before=now if before is None else before)
        if edit.is_dry_run:
            return {"version": version, **self._rehearsed(made, edit.taken_ratio)}
        edition = self._editions.append(
            None if follows_file else made.document(),
            expected=version,
            by=edit.by,
            action=action,
            base=self._footing.file.digest,
            at_s=time.time(),
        )
        return {
            "version": edition.version,
            "etag": self._tag_of(edition.version, made),
            "action": action,
        }

    def _newest(self) -> tuple[int, Catalogue]:
        version = self._editions.newest_version()
        return version, self._catalogue_of(version)

    def _edition(self, version: int) -> Edition:
        found = self._editions.edition(version)
        if found is None:
            raise NotThereError(f"version {version}: there is none; see GET /v1/versions")
        return found

    def _catalogue_of(self, version: int) -> Catalogue:
        """As it was kept, also if it does not fit any more: that can be mended here."""
        if version == 0:
            return self._footing.file
        edition = self._edition(version)
        if edition.damage:
            raise EditError(f"{edition.damage}; roll back to another version")
        document = edition.document
        return self._footing.file if document is None else self._footing.kept(document)

    def _tag_of(self, version: int, catalogue: Catalogue) -> str:
        # Tags count too; without an edition, so does what the file says now.
        return f'"{version}-{catalogue.digest}"'

    def _rehearsed(self, made: Catalogue, taken_ratio: float) -> Mapping[str, Any]:
        """The engine's answer.

        Raises:
            UnheardError: None lives, or it has no time.
            EditError: It could not plan.
        """
        age_s = engine_age_s(self._settings)
        if age_s is None or age_s > patience_s(self._settings):
            raise UnheardError(
                "engine: none has looked at the fleet lately, and a dry run is planned with what "
                "it sees; start it (foreshard run), or make the change without a dry run"
            )
        if not self._asked.acquire(blocking=False):
            raise UnheardError(f"engine: {MOST_ASKED} dry runs are waiting already; ask again")
        questions = Questions(self._file)
        try:
            body = {"document": made.document(), "taken_ratio": taken_ratio}
            number = questions.ask(body, now_s=time.time())
            until_s = time.monotonic() + ANSWER_S
            while time.monotonic() < until_s:
                answer = questions.take(number)
                if answer is not None:
                    if refused := answer.get("refused"):
                        raise EditError(str(refused))
                    return answer
                time.sleep(LOOK_S)
            questions.withdraw(number)
        finally:
            self._asked.release()
        raise UnheardError(f"engine: no answer within {ANSWER_S:g} s; ask again later")


def _placed(now: Catalogue, made: ClassSettings, before: str) -> Catalogue:
    """With a class in place of the one of its name, or where it gets its requests."""
    rest = [each for each in now.classes if each.name != made.name]
    if before and before not in {each.name for each in rest}:
        raise _no_class(before, now)
    place = next((n for n, each in enumerate(now.classes) if each.name == made.name), None)
    if before:
        place = next(n for n, each in enumerate(rest) if each.name == before)
    elif place is None:
        match = made.match.noun()
        wider = (n for n, c in enumerate(rest) if c.match.noun().covers(match))
        place = next(wider, len(rest))
    return now.model_copy(update={"classes": [*rest[:place], made, *rest[place:]]})


def _no_class(name: str, catalogue: Catalogue) -> NotThereError:
    known = ", ".join(each.name for each in catalogue.classes)
    return NotThereError(f"class {name!r}: there is none; there are {known}")
