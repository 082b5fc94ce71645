"""This module is the daily refit: one process at a time, bounded, loud on failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from foreshard.controller.companion import run_once
from foreshard.model.errors import ProcessError
from foreshard.ports import Clock

__all__ = ["Agenda", "is_due", "refit_when_due"]

log = structlog.get_logger(__name__)

LOOK_S = 30.0
# After a failure: whatever was wrong may have been put right by then.
AGAIN_S = 3_600.0
# A training that takes longer than this would hold up the next.
MOST_S = 6 * 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """When to train.

    Attributes:
        every_s: Between refits.
        least_s: History before the first.
    """

    every_s: float
    least_s: float


def is_due(agenda: Agenda, *, now_s: float, trained_at_s: float | None, kept_s: float) -> bool:
    """Whether it is time to train.

    Args:
        agenda: When to.
        now_s: Now.
        trained_at_s: When the newest model was made; None = there is none.
        kept_s: How long the kept history is.
    """
    if kept_s < agenda.least_s:
        return False
    return trained_at_s is None or now_s - trained_at_s >= agenda.every_s


async def refit_when_due(
    argv: Sequence[str],
    *,
    clock: Clock,
    log_file: Path,
    due: Callable[[float], bool],
) -> None:
    """Train whenever it is due, until cancelled.

    Args:
        argv: What trains.
        clock: Tells the time.
        log_file: Gets what it says.
        due: Told the time, whether to train; may look at the disk.
    """
    rests_until_s = float("-inf")
    while True:
        now_s = clock.now_s()
        if now_s >= rests_until_s and await asyncio.to_thread(due, now_s):
            log.info("training.began", log=str(log_file))
            try:
                status, said = await run_once("train", argv, log_file=log_file, most_s=MOST_S)
            except ProcessError as error:
                status, said = -1, str(error)
            if status == 0:
                log.info("training.ended", said=said)
            else:
                log.error(
                    "training.failed",
                    status=status,
                    said=said,
                    again_in_s=AGAIN_S,
                    effect="the model that flies goes on flying",
                )
                rests_until_s = clock.now_s() + AGAIN_S
        await clock.sleep(LOOK_S)
