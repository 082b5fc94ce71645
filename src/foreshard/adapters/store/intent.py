"""This module is what forecasts asked for, kept for longer than the decisions that it stood in.

What acting averts is told from months, not from the week of decisions that the store has room for.
So each intent has a small row of its own: one for a cell, a class and a coin, however often it was
repeated. A year of them takes less room than an hour of decisions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from foreshard.model.errors import InvalidValueError, StoreError
from foreshard.model.plan import COIN_S, Intent, IntentSpan

__all__ = ["ROW_BYTES", "IntentRows", "spans_in"]

# A row with its part of the pages, where names are as long as people make them.
ROW_BYTES = 128

_KEEP = """
INSERT INTO intent VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    first_s = min(first_s, excluded.first_s),
    last_s = max(last_s, excluded.last_s),
    p = max(p, excluded.p)
"""
_DROP_MORE = """
DELETE FROM intent WHERE (hour, cell, class, acted, propensity) IN (
    SELECT hour, cell, class, acted, propensity FROM intent
    ORDER BY hour, cell, class, acted, propensity
    LIMIT max(0, (SELECT count(*) FROM intent) - ?)
)
"""
_SPANS = """
SELECT cell, class, acted, propensity, p, first_s, last_s FROM intent
ORDER BY first_s, cell, class, acted
"""


class IntentRows:
    """The rows, written inside of somebody else's transaction.

    Args:
        connection: Of a file of the newest schema.
        max_age_s: Older ones are dropped.
        most: So many are kept, or as many as came within the newest hour.
    """

    def __init__(self, connection: sqlite3.Connection, *, max_age_s: float, most: int) -> None:
        self._db = connection
        self._max_age_s = max_age_s
        self._most = most
        self._tidied_hour: int | None = None

    def keep(self, intents: Sequence[Intent], *, now_s: float) -> None:
        """Keep what was asked for at a moment; without any it costs nothing."""
        if not intents:
            return
        hour = int(now_s // COIN_S)
        self._db.executemany(
            _KEEP,
            [
                (hour, i.cell, i.request_class, int(i.acted), i.propensity, now_s, now_s, i.p)
                for i in intents
            ],
        )
        # Rows are counted one by one, so not with each decision.
        if hour != self._tidied_hour:
            oldest = int((now_s - self._max_age_s) // COIN_S)
            self._db.execute("DELETE FROM intent WHERE hour < ?", (oldest,))
            self._db.execute(_DROP_MORE, (self._most,))
            self._tidied_hour = hour


def spans_in(connection: sqlite3.Connection) -> tuple[IntentSpan, ...]:
    """All that is kept, by when it began.

    Raises:
        StoreError: A row is no intent.
    """
    spans = []
    for cell, of_class, acted, propensity, p, first_s, last_s in connection.execute(_SPANS):
        try:
            intent = Intent(
                cell=str(cell),
                request_class=str(of_class),
                p=float(p),
                propensity=float(propensity),
                acted=bool(acted),
            )
            span = IntentSpan(intent=intent, first_s=float(first_s), last_s=float(last_s))
        except (InvalidValueError, ValueError, TypeError) as error:
            raise StoreError(f"a kept intent of {cell!r} is damaged: {error}") from error
        spans.append(span)
    return tuple(spans)
