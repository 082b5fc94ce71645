"""This module is the engine's status in some lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["overview"]


def overview(status: Mapping[str, Any], *, now_s: float, frozen: str = "") -> str:
    """How things stand.

    Args:
        status: What the engine last said of itself, as the store returns it.
        now_s: Now.
        frozen: Why an operator froze the plan; "" = it is not frozen.
    """
    cells = status["cells"]
    phases = Counter(str(cell["phase"]) for cell in cells.values())
    told = ", ".join(f"{count} {phase or 'unknown'}" for phase, count in sorted(phases.items()))
    age_s = max(0.0, now_s - status["now_s"])
    lines = [
        f"engine: its last word is {age_s:.0f} s old, plan version {status['version']}",
        f"cells: {len(cells)}, {told}",
    ]
    silent = sorted(name for name, cell in cells.items() if cell["age_s"] is None)
    if silent:
        lines.append(f"silent: {', '.join(silent)}")
    lines += _forecast(status["forecast"], cells)
    if status["balancers_silent"]:
        lines.append("balancers: silent")
    shed = {name: part for name, part in status["shed"].items() if part > 0.0}
    if shed:
        lines.append("shed: " + ", ".join(f"{part:.0%} of {name}" for name, part in shed.items()))
    lines += _crossings(status.get("crossings", {}))
    lines += _federation(status.get("federation"))
    if frozen:
        lines.append(f"frozen: {frozen}")
    return "\n".join(lines)


def _crossings(crossings: Mapping[str, Any]) -> list[str]:
    lines = []
    for origin, links in crossings.items():
        for region, link in links.items():
            cost = link["cost_per_hour"]
            priced = f", egress {cost:.2f} an hour" if cost > 0.0 else ""
            lines.append(f"spill: {region} serves {link['rps']:.1f}/s of {origin}{priced}")
    return lines


def _federation(told: Mapping[str, Any] | None) -> list[str]:
    if not told:
        return []
    lines = []
    for name, peer in told["peers"].items():
        heard = "never heard of" if peer["age_s"] is None else f"heard {peer['age_s']:.0f} s ago"
        lines.append(
            f"peer {name}: {heard}, grants {_amounts(peer['granted'])}, "
            f"is granted {_amounts(told['grants'].get(name, {}))}"
        )
    return lines


def _amounts(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:.1f} {name}" for name, amount in amounts.items()) or "nothing"


def _forecast(forecast: Mapping[str, Any], cells: Mapping[str, Any]) -> list[str]:
    if forecast["model"] is None:
        return ["forecast: none"]
    lines = [f"forecast: {forecast['model']}, {forecast['age_s']:.0f} s old"]
    if forecast.get("degraded"):
        lines.append(f"  degraded to {forecast['model']} alone: {forecast['degraded']}")
    stand: Counter[str] = Counter(
        model for cell in cells.values() if (model := cell["risk"].get("model", ""))
    )
    if len(stand) > 1:
        lines += [f"  {count} cells stand on {model}" for model, count in sorted(stand.items())]
    if forecast.get("outlook_age_s") is not None:
        lines.append(f"  its newest step is {forecast['outlook_age_s']:.0f} s old")
    return lines
