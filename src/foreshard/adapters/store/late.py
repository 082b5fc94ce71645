"""This module is a store that cannot be opened now: nothing is kept, and it is tried again.

A full disk must not stop failover. Whoever records is told each time that nothing was kept; what
was remembered before is not there, and the engine begins from the plan that is live.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.model.errors import StoreError
from foreshard.model.plan import Decision

__all__ = ["LateStore"]

AGAIN_S = 60.0


class LateStore:
    """A `StateStore` that opens another as soon as that can be had.

    Args:
        opening: Opens it, or raises `StoreError`.
        because: Why it could not be opened.
        now_s: A clock that never goes back.
    """

    def __init__(
        self,
        opening: Callable[[], SqliteStore],
        because: StoreError,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opening = opening
        self._because = because
        self._now_s = now_s
        self._due_s = now_s() + AGAIN_S
        self._store: SqliteStore | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        if self._store is not None:
            self._store.close()

    def record(self, decision: Decision, inputs: Mapping[str, Any]) -> None:
        """See `StateStore.record`.

        Raises:
            StoreError: There is no store yet.
        """
        self._opened().record(decision, inputs)

    def latest(self, cell: str) -> Mapping[str, Any] | None:
        """See `StateStore.latest`; None without a store."""
        return None if self._store is None else self._store.latest(cell)

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """See `StateStore.put`.

        Raises:
            StoreError: There is no store yet.
        """
        self._opened().put(key, value)

    def get(self, key: str) -> Mapping[str, Any] | None:
        """See `StateStore.get`; None without a store."""
        return None if self._store is None else self._store.get(key)

    def _opened(self) -> SqliteStore:
        if self._store is None:
            if self._now_s() < self._due_s:
                raise StoreError(str(self._because))
            self._due_s = self._now_s() + AGAIN_S
            self._store = self._opening()
        return self._store
