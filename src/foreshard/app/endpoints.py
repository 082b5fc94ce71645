"""This module is endpoints without a class: what was found, and the class proposed for each.

A proposal is the default class in everything but the match: nothing changes for its requests but
that they are counted, planned and shed by themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from foreshard.config.catalogue import Catalogue, read_class
from foreshard.config.workload import ClassSettings
from foreshard.model.errors import ConfigError, EditError

__all__ = ["endpoints_told", "proposal", "with_declined", "without"]

LONGEST_NAME = 63
MOST_DECLINED = 1_000
# What belongs to the default class alone.
OWN = {"name", "match", "needs", "category"}


def endpoints_told(catalogue: Catalogue, report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the engine said, with the class proposed for each.

    Args:
        catalogue: That holds.
        report: Of `controller.scouting`; {} = nothing was said.
    """
    return {
        "at_s": report.get("at_s"),
        "served_by": catalogue.default_class,
        "endpoints": [_told(catalogue, each) for each in report.get("endpoints", ())],
        "more_endpoints": report.get("more_endpoints", 0),
        "left_out_requests": report.get("left_out_requests", 0.0),
        "changes": report.get("changes", []),
        "declined": catalogue.declined,
    }


def _told(catalogue: Catalogue, each: Mapping[str, Any]) -> Mapping[str, Any]:
    proposed, because = None, ""
    try:
        made = proposal(catalogue, each["method"], each["template"])
        proposed = made.model_dump(mode="json", exclude_defaults=True)
    except EditError as error:
        because = str(error)
    return {
        **each,
        "resembles": each["resembles"] or None,
        "declined": f"{each['method']} {each['template']}" in catalogue.declined,
        "proposed": proposed,
        "because": because,
    }


def proposal(catalogue: Catalogue, method: str, template: str, name: str = "") -> ClassSettings:
    """The class of an endpoint.

    Args:
        catalogue: That holds.
        method: Of the endpoint.
        template: Of its paths.
        name: Of the class; "" = made of both, and one that is not taken.

    Raises:
        EditError: There can be none, or the name is taken.
    """
    default = catalogue.named(catalogue.default_class)
    if default is None or default.replicas:
        raise EditError(
            f"endpoint {method} {template}: the default class, {catalogue.default_class}, owns "
            "data, and a class beside it would send its keys elsewhere; define the class yourself"
        )
    if name and catalogue.named(name) is not None:
        raise EditError(f"class {name}: is there already; give another name")
    values = default.model_dump(mode="json", exclude=OWN, exclude_defaults=True)
    match = {"method": method, "path_template": template}
    name = name or _free_name(catalogue, method, template)
    try:
        return read_class(json.dumps({**values, "match": match}), name=name)
    except ConfigError as error:
        raise EditError(f"endpoint {method} {template}: no class can match it: {error}") from error


def without(catalogue: Catalogue, method: str, template: str) -> Catalogue:
    """The same, with an endpoint no longer declined."""
    kept = [each for each in catalogue.declined if each != f"{method} {template}"]
    return catalogue.model_copy(update={"declined": kept})


def with_declined(catalogue: Catalogue, method: str, template: str) -> Catalogue:
    """The same, with an endpoint declined.

    Raises:
        EditError: No more can be.
    """
    kept = without(catalogue, method, template).declined
    if len(kept) >= MOST_DECLINED:
        raise EditError(
            f"endpoint {method} {template}: {len(kept)} are declined already, must be at most "
            f"{MOST_DECLINED}; define one class with a path_prefix that takes many of them"
        )
    return catalogue.model_copy(update={"declined": [*kept, f"{method} {template}"]})


def _free_name(catalogue: Catalogue, method: str, template: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", f"{method}{template}".lower()).strip("-")
    name, count = words[: LONGEST_NAME - 4].strip("-"), 1
    taken, made = {each.name for each in catalogue.classes}, name
    while made in taken:
        count += 1
        made = f"{name}-{count}"
    return made
