"""This module is a decision in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

from foreshard.cli.costs import cost_text

__all__ = ["explain"]

# Smaller changes of a share are rounding.
LEAST_MOVE = 0.002


def explain(
    cell: str,
    record: Mapping[str, Any] | None,
    status: Mapping[str, Any] | None,
    *,
    fleet: Mapping[str, Any] | None = None,
    costs: Mapping[str, Any] | None = None,
    frozen: str = "",
) -> str:
    """What was last decided about a cell, what it was based on, and how things stand now.

    Args:
        cell: Its name.
        record: The newest kept decision with a reason about it, as the store returns it.
        status: The engine's newest status; None when no engine has run here.
        fleet: The newest kept decision with a reason about the fleet; said while it stands.
        costs: The newest report of what requests cost; None = there is none yet.
        frozen: Why an operator froze the plan; "" = it is not frozen.
    """
    lines = []
    if record is None:
        lines.append(f"cell {cell}: nothing was ever decided about it; it has its ordinary share")
    else:
        decision = record["decision"]
        reasons = [r for r in decision["routing"]["because"] if r["subject"] == cell]
        others = [r for r in decision["routing"]["because"] if r["subject"] == "fleet"]
        said = "; ".join(r["text"] for r in reasons) or "a plan that concerns it was made"
        lines.append(f"cell {cell}, {_at(decision['now_s'])}: {said}")
        lines += [f"  the fleet: {r['text']}" for r in others]
        moved = _moves(cell, record["inputs"].get("plan_before"), decision["plan"])
        lines += moved.values()
        lines += _costs({flow.rpartition("/")[2] for flow in moved}, costs or {})
        lines += [f"  instead of: {a['text']}" for a in decision["alternatives"]]
    if fleet is not None and status is not None and fleet["kept"]["last_s"] >= status["now_s"]:
        because = fleet["decision"]["routing"]["because"]
        lines += [f"  the fleet now: {r['text']}" for r in because if r["subject"] == "fleet"]
    if status is not None and cell in status["cells"]:
        lines.append(_now(status["cells"][cell], status))
        lines += _basis(status["cells"][cell], status)
    if frozen:
        lines.append(f"  frozen: {frozen}; nothing changes until `foreshard thaw`")
    return "\n".join(lines)


def _moves(
    cell: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> dict[str, str]:
    """By flow, what it gained or lost there, and who took or gave it."""
    lines = {}
    for flow, split in sorted(after["splits"].items()):
        was = before["splits"].get(flow, {"shares": {}}) if before else split
        old, new = was["shares"], split["shares"]
        own = new.get(cell, 0.0) - old.get(cell, 0.0)
        if abs(own) < LEAST_MOVE:
            continue
        others = sorted(
            name
            for name in {*old, *new} - {cell}
            if (new.get(name, 0.0) - old.get(name, 0.0)) * own < 0.0
        )
        way = "to" if own < 0.0 else "from"
        change = f"{old.get(cell, 0.0):.1%} -> {new.get(cell, 0.0):.1%}"
        lines[flow] = f"  {flow}: {change} of its requests, {way} {', '.join(others) or 'nobody'}"
    return lines


def _costs(moved: AbstractSet[str], report: Mapping[str, Any]) -> Iterator[str]:
    """What requests of the classes that moved were found to cost."""
    for name, known in sorted(report.get("classes", {}).items()):
        if name in moved and known["costs"]:
            each = ", ".join(f"{r} {cost_text(c)}" for r, c in sorted(known["costs"].items()))
            sort = f"; {known['category']}" if known["category"] else ""
            yield f"  a request of {name} costs now: {each}{sort}"


def _now(now: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    gauges = ", ".join(f"{name} {used:.0%}" for name, used in sorted(now["utilisation"].items()))
    risk = ", ".join(
        f"{p:.0%} within {float(horizon):g} s" for horizon, p in _by_horizon(now["risk"]["p"])
    )
    what = f"{gauges or 'no metrics'}; failure probability {risk or 'unknown'}"
    if now["age_s"] is None:
        # What is foreseen of a silent cell is what was foreseen before, and no news.
        what = f"no metrics ({now.get('silent') or 'silent'}); failure probability unknown"
    return (
        f"  now ({_at(status['now_s'])}): {now['phase']}, {now['load_rps']:g} requests/s; {what}"
    )


def _basis(now: Mapping[str, Any], status: Mapping[str, Any]) -> list[str]:
    """What the probabilities stand on, where that is not said by the name of the forecaster."""
    forecast = status.get("forecast", {})
    if forecast.get("degraded"):
        return [f"  forecasts are those of {forecast['model']} alone: {forecast['degraded']}"]
    model = now["risk"].get("model", "")
    if not model or model == "trend":
        return []
    return [
        f"  that stands on {model}",
        *(f"    {words}" for words in now["risk"].get("because", ())),
    ]


def _by_horizon(p: Mapping[str, float]) -> Sequence[tuple[str, float]]:
    return sorted(p.items(), key=lambda item: float(item[0]))


def _at(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, tz=UTC).astimezone().strftime("%H:%M:%S")
