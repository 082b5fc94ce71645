"""This module is a service that owns data, in memory: it prepares what it is told to."""

from __future__ import annotations

from foreshard.model.errors import DriverError
from foreshard.model.handover import Answer, Notice, Reply, Step

__all__ = ["FakeSlotMover"]


class FakeSlotMover:
    """A `SlotMover` in memory.

    Attributes:
        told: Every notice, in order, repeated ones too.
    """

    def __init__(self, *, ready_after: int = 0) -> None:
        """Set how slow it is.

        Args:
            ready_after: How often it answers PENDING to a `PREPARE` before it is READY.
        """
        self.told: list[Notice] = []
        self._ready_after = ready_after
        self._objection = ""
        self._is_away = False

    def refuse(self, because: str) -> None:
        """Answer FAILED to every `PREPARE` from now on; "" = prepare again."""
        self._objection = because

    def leave(self) -> None:
        """Be out of reach from now on."""
        self._is_away = True

    async def tell(self, notice: Notice) -> Reply:
        """Take a notice.

        Raises:
            DriverError: A test said so.
        """
        if self._is_away:
            raise DriverError(f"fake mover: nobody took {notice.step} of {notice.handover}")
        asked = sum(1 for n in self.told if (n.handover, n.step) == (notice.handover, notice.step))
        self.told.append(notice)
        answer, because = Answer.DONE, ""
        if notice.step is Step.PREPARE:
            answer = Answer.READY if asked >= self._ready_after else Answer.PENDING
            if self._objection:
                answer, because = Answer.FAILED, self._objection
        return Reply(handover=notice.handover, step=notice.step, answer=answer, because=because)
