"""This module is classes and editions as JSON values, for whoever reads them over the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from foreshard.config.catalogue import Catalogue
from foreshard.config.workload import ClassSettings
from foreshard.model.catalogue import Edition, Token

__all__ = ["differences", "edition_told", "token_told", "told"]


def told(
    each: ClassSettings, catalogue: Catalogue, report: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A class: how it is defined, what it costs, what it is said to be and by whom.

    Args:
        each: The class, without what is to be hidden.
        catalogue: All of them.
        report: What the engine last said of costs (`controller.account`); {} = nothing.
    """
    known = report.get("classes", {}).get(each.name)
    found = str(known["found"]) if known else ""
    confidence = float(known["confidence"]) if known else 0.0
    tag = catalogue.tags.get(each.name)
    said = tag.category if tag is not None else each.category
    disagreement = ""
    if said and found and said != found:
        by = f"tagged {said} by {tag.by}" if tag is not None else f"declared {said}"
        disagreement = f"{each.name} is {by}, its costs say {found} (confidence {confidence:.0%})"
    return {
        "name": each.name,
        "is_default": each.name == catalogue.default_class,
        "definition": each.model_dump(mode="json"),
        "category": {
            "holds": tag.category if tag is not None else found or each.category or "",
            "declared": each.category,
            "found": found or None,
            "confidence": confidence,
            "tag": None if tag is None else tag.model_dump(mode="json"),
            "disagreement": disagreement,
        },
        "profile": None if known is None else _profile(each.name, known, report),
    }


def edition_told(edition: Edition) -> Mapping[str, Any]:
    """An edition without its classes."""
    return {
        "version": edition.version,
        "at_s": edition.at_s,
        "by": edition.by.name,
        "role": edition.by.role.value,
        "action": edition.action,
        "follows_file": edition.document is None and not edition.damage,
        "damage": edition.damage,
    }


def token_told(token: Token) -> Mapping[str, Any]:
    """A key without its secret."""
    return {
        "id": token.id,
        "name": token.holder.name,
        "role": token.holder.role.value,
        "created_s": token.created_s,
        "expires_s": token.expires_s,
        "revoked_s": token.revoked_s,
    }


def differences(one: Catalogue, other: Catalogue) -> Iterator[Mapping[str, Any]]:
    """What must be changed to make of one catalogue the other."""
    yield from _apart("", _plain(one), _plain(other))


def _plain(catalogue: Catalogue) -> Mapping[str, Any]:
    """By name, and the order by itself: a class that is put first is no change of every class."""
    values = catalogue.model_dump(mode="json")
    return {
        **values,
        "classes": {each["name"]: each for each in values["classes"]},
        "order": [each["name"] for each in values["classes"]],
    }


def _apart(path: str, one: object, other: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(k for k in other if k not in one)]:
            inner = f"{path}.{key}" if path else str(key)
            if key not in other:
                yield {"path": inner, "before": one[key], "after": None}
            elif key not in one:
                yield {"path": inner, "before": None, "after": other[key]}
            else:
                yield from _apart(inner, one[key], other[key])
    elif one != other:
        yield {"path": path, "before": one, "after": other}


def _profile(name: str, known: Mapping[str, Any], report: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "at_s": report["at_s"],
        "rate_rps": known["rate_rps"],
        "costs": {
            resource: {key: cost[key] for key in ("per_request", "low", "high", "because")}
            for resource, cost in sorted(known["costs"].items())
        },
        "unidentified": [
            joint["text"] for joint in report.get("joint", ()) if name in joint["classes"]
        ],
        "depends": list(known["depends"]),
    }
