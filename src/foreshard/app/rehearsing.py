"""This module is the answer to "what would this change move?", made where the fleet is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foreshard.app.steering import engine_of
from foreshard.config.catalogue import Catalogue, Footing
from foreshard.controller.succession import Sight
from foreshard.engine.rehearsal import FlowMove, Rehearsal, Served, rehearse
from foreshard.model.errors import EditError

__all__ = ["answered"]

# Flows that move less are not named: there may be thousands.
LEAST_NAMED_RATIO = 0.001
MOST_NAMED = 200


def answered(
    question: Mapping[str, Any], sight: Sight, flown: Catalogue, footing: Footing
) -> Mapping[str, Any]:
    """What a change would move, as JSON values.

    Args:
        question: `document` of the catalogue, and `taken_ratio`.
        sight: What is flown on.
        flown: The classes of that engine.
        footing: What a catalogue must fit to.

    Raises:
        EditError: It does not fit, or nothing was seen yet to plan with.
    """
    then = footing.restored(question["document"])
    if not sight.state.workload.is_trusted or sight.observation.demand_rps is None:
        raise EditError("engine: has not yet seen enough of the fleet to plan; ask again later")
    done = rehearse(
        _served(flown, footing, sight),
        _served(then, footing),
        sight.state,
        sight.observation,
        sight.forecast,
        taken_ratio=float(question["taken_ratio"]),
    )
    return {
        "planned_at_s": sight.observation.now_s,
        "demand_rps": round(done.demand_rps, 3),
        "moved_ratio": round(done.moved_ratio, 5),
        "shed_more_ratio": round(done.shed_more_ratio, 5),
        "says": _words(done),
        "moves": [
            _move(each)
            for each in done.moves[:MOST_NAMED]
            if each.moved_ratio >= LEAST_NAMED_RATIO or each.flow.request_class in done.at_most_rps
        ],
        "uncounted": [
            {"class": name, "at_most_rps": round(rate, 3)}
            for name, rate in sorted(done.at_most_rps.items())
        ],
    }


def _served(catalogue: Catalogue, footing: Footing, sight: Sight | None = None) -> Served:
    settings = footing.fitted(catalogue)
    return Served(
        engine=sight.engine if sight is not None else engine_of(settings),
        classes=settings.request_classes(),
        default_class=settings.default_class,
    )


def _move(move: FlowMove) -> Mapping[str, Any]:
    return {
        "origin": move.flow.origin,
        "class": move.flow.request_class,
        "demand_rps": round(move.demand_rps, 3),
        "moved_ratio": round(move.moved_ratio, 5),
        "before": {cell: round(share, 5) for cell, share in sorted(move.before.items())},
        "after": {cell: round(share, 5) for cell, share in sorted(move.after.items())},
        "shed_before": round(move.shed_before, 5),
        "shed_after": round(move.shed_after, 5),
    }


def _words(done: Rehearsal) -> str:
    said = f"this change would move {100.0 * done.moved_ratio:.1f} % of the traffic"
    if done.shed_more_ratio > 0.0:
        said += f" and turn away {100.0 * done.shed_more_ratio:.1f} % more of it"
    if done.at_most_rps:
        named = ", ".join(f"{name} at most {rate:.0f}" for name, rate in done.at_most_rps.items())
        said += f"; how many requests new classes take is not counted yet ({named} a second)"
    return said
