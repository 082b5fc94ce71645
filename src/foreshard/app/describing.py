"""This module is classes and editions as JSON values, for whoever reads them over the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from foreshard.config.catalogue import Catalogue
from foreshard.config.workload import ClassSettings
from foreshard.model.catalogue import Edition, Token
from foreshard.model.category import ClassProfile, Tag, WorkloadProfile

__all__ = ["differences", "edition_told", "token_told", "told"]


def told(
    each: ClassSettings, catalogue: Catalogue, profile: WorkloadProfile | None
) -> Mapping[str, Any]:
    """A class: how it is defined, what it costs, what it is said to be and by whom."""
    known = (profile.classes.get(each.name) if profile else None) or ClassProfile(
        request_class=each.name
    )
    said = catalogue.tags.get(each.name)
    tag = None
    if said is not None:
        tag = Tag(
            request_class=each.name,
            category=said.category,
            by=said.by or "unknown",
            at_s=said.at_s,
            note=said.note,
        )
    known = ClassProfile(
        request_class=each.name,
        costs=known.costs,
        found=known.found,
        confidence=known.confidence,
        tag=tag,
        depends=known.depends,
        rate_rps=known.rate_rps,
    )
    return {
        "name": each.name,
        "is_default": each.name == catalogue.default_class,
        "definition": _defined(each),
        "category": {
            "holds": known.category or each.category or "",
            "declared": each.category,
            "found": known.found.name if known.found else None,
            "confidence": known.confidence,
            "tag": None if said is None else said.model_dump(mode="json"),
            "disagreement": known.disagreement or _doubt(each, known),
        },
        "profile": _profile(known, profile),
    }


def edition_told(edition: Edition) -> Mapping[str, Any]:
    """An edition without its classes."""
    return {
        "version": edition.version,
        "at_s": edition.at_s,
        "by": edition.by.name,
        "role": edition.by.role.value,
        "action": edition.action,
        "follows_file": edition.document is None,
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


def _defined(each: ClassSettings) -> Mapping[str, Any]:
    values: dict[str, Any] = each.model_dump(mode="json")
    # A URL may hold what proves who one is.
    if each.handover is not None:
        values["handover"] = {**values["handover"], "webhook": "..."}
    return values


def _doubt(each: ClassSettings, known: ClassProfile) -> str:
    """How what was found differs from what was declared."""
    if known.tag is not None or known.found is None or each.category in {None, known.found.name}:
        return ""
    return (
        f"{each.name} is declared {each.category}, its costs say {known.found.name} (confidence "
        f"{known.confidence:.0%})"
    )


def _profile(known: ClassProfile, profile: WorkloadProfile | None) -> Mapping[str, Any] | None:
    if profile is None or known.request_class not in profile.classes:
        return None
    return {
        "at_s": profile.at_s,
        "rate_rps": known.rate_rps,
        "costs": {
            resource: {
                "per_request": cost.per_request if cost.is_known else None,
                "low": cost.low,
                "high": cost.high if cost.high < float("inf") else None,
                "because": cost.because,
            }
            for resource, cost in sorted(known.costs.items())
        },
        "unidentified": [
            str(j) for j in profile.joint if known.request_class in j.request_classes
        ],
        "depends": [
            {
                "dependency": one.dependency,
                "source": one.source.value,
                "confidence": one.confidence,
                "evidence": one.evidence,
            }
            for one in known.depends
        ],
    }
