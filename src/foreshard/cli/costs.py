"""This module is what requests cost, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["cost_text", "costs_text"]

# Changes that are shown; all are in the JSON.
SHOWN_CHANGES, SHOWN_ENDPOINTS = 10, 20


def costs_text(report: Mapping[str, Any], *, now_s: float) -> str:
    """What is known of every class, as the engine last wrote it.

    Args:
        report: As the store returns it.
        now_s: Now.
    """
    return "\n".join(_lines(report, now_s))


def _lines(report: Mapping[str, Any], now_s: float) -> Iterator[str]:
    age_s = max(0.0, now_s - report["at_s"])
    yield f"what a request costs, {age_s:.0f} s ago, and the range that holds it 9 times of 10"
    for name, c in sorted(report["classes"].items()):
        sort = c["category"] or "no category yet"
        if c["tag"]:
            sort += f", tagged by {c['tag']['by']}"
        elif c["category"]:
            sort += f", confidence {c['confidence']:.0%}"
        yield f"{name}: {sort}; {c['rate_rps']:g} requests/s"
        if c["disagreement"]:
            yield f"  disagreement: {c['disagreement']}"
        for resource, cost in sorted(c["costs"].items()):
            yield f"  {resource}: {cost_text(cost)}"
        for d in c["depends"]:
            yield f"  needs {d['dependency']} ({d['confidence']:.0%}): {d['evidence']}"
    for joint in report["joint"]:
        mean = cost_text(joint)
        yield f"{joint['text']}; {joint['resource']} of a mean request of theirs: {mean}"
    idle = ", ".join(f"{r} {v:.4g}" for r, v in sorted(report["idle"].items()) if v is not None)
    if idle:
        yield f"a cell without requests: {idle}"
    yield from _hardware(report.get("hardware", {}))
    yield from _unclassed(report.get("unclassed", {}))
    changes = report["changes"][-SHOWN_CHANGES:]
    changes = [*changes, *report.get("unclassed", {}).get("changes", [])[-SHOWN_CHANGES:]]
    for change in sorted(changes, key=lambda each: float(each["at_s"])):
        at = datetime.fromtimestamp(change["at_s"], tz=UTC).astimezone().strftime("%H:%M:%S")
        yield f"{at}: {change['text']}"


def _hardware(report: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """How sorts of machines differ."""
    for label, times in sorted(report.items()):
        said = ", ".join(f"{each:.2f} times as much {r}" for r, each in sorted(times.items()))
        yield f"cells on {label} use, for the same work, {said}"


def _unclassed(report: Mapping[str, Any]) -> Iterator[str]:
    """Endpoints that no class takes."""
    found = report.get("endpoints", [])
    if found:
        yield "no class takes these; the default class serves them (see GET /v1/endpoints):"
    for each in found[:SHOWN_ENDPOINTS]:
        costs = ", ".join(f"{r} {cost:.3g}" for r, cost in sorted(each["costs"].items()))
        says = f"; says that it costs {costs}" if costs else ""
        says += f", about as {each['resembles']}" if each["resembles"] else ""
        name = f"{each['method']} {each['template']}"
        yield f"  {name}: confidence {each['confidence']:.0%}; {each['evidence']}{says}"
    more = max(len(found) - SHOWN_ENDPOINTS, 0) + report.get("more_endpoints", 0)
    if more:
        yield f"  and {more} more, with fewer requests"
    if report.get("left_out_requests"):
        yield f"  not looked at: {report['left_out_requests']:g} requests (too many paths)"


def cost_text(cost: Mapping[str, Any]) -> str:
    """One cost and its range, as the account has them."""
    high = "?" if cost["high"] is None else f"{cost['high']:.3g}"
    span = f"{cost['low']:.3g} to {high}"
    if cost["per_request"] is None:
        return f"unknown, {span} ({cost['because']})"
    return f"{cost['per_request']:.3g} ({span})"
