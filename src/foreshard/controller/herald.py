"""This module is what the loop says of a decision: each reason once, when it begins to hold."""

from __future__ import annotations

import structlog

from foreshard.controller.status import Instruments
from foreshard.controller.tidings import FEW
from foreshard.model.plan import Decision, Reason

__all__ = ["announce"]

log = structlog.get_logger(__name__)

# Codes of reasons that a person may have to look at.
ALARMING = (
    "guard.panic",
    "guard.refuses",
    "telemetry.",
    "forecast.stale",
    "cell.quarantined",
    "handover.stuck",
    "maintenance.late",
)


def announce(decision: Decision, instruments: Instruments) -> None:
    """Log the reasons that were absent in the tick before; many of a kind in one line."""
    news: dict[str, list[Reason]] = {}
    for reason in decision.routing.because:
        if instruments.is_news(reason):
            news.setdefault(reason.code, []).append(reason)
    for code, reasons in news.items():
        say = log.warning if code.startswith(ALARMING) else log.info
        for reason in reasons[:FEW]:
            say("decision", code=code, cell=reason.subject, text=reason.text)
        if len(reasons) > FEW:
            say("decision", code=code, count=len(reasons), more=len(reasons) - FEW)
