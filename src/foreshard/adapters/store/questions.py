"""This module is questions to the engine that wait for its answer, beside the loop.

A dry run needs what the engine sees now. Whoever asks leaves the question here; the engine
answers from a thread of its own, or nobody does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.model.errors import StoreError

__all__ = ["Questions"]

# What nobody has fetched by then nobody will.
FORGOTTEN_S = 60.0


class Questions:
    """What was asked.

    Args:
        file: Where it is written.
    """

    def __init__(self, file: CatalogueFile) -> None:
        self._file = file

    def ask(self, body: Mapping[str, Any], *, now_s: float) -> int:
        """Leave a question; its number.

        Raises:
            StoreError: It cannot be written.
        """
        with self._file.transaction():
            self._file.write("DELETE FROM question WHERE asked_s < ?", (now_s - FORGOTTEN_S,))
            self._file.write(
                "INSERT INTO question (asked_s, body) VALUES (?, ?)", (now_s, json.dumps(body))
            )
            return int(self._file.rows("SELECT last_insert_rowid()")[0][0])

    def open(self, *, since_s: float) -> tuple[int, Mapping[str, Any]] | None:
        """The oldest that waits for an answer; None = none does.

        Args:
            since_s: Those asked before are waited for no more.

        Raises:
            StoreError: It cannot be read.
        """
        found = self._file.rows(
            "SELECT id, body FROM question WHERE answer IS NULL AND asked_s >= ? "
            "ORDER BY id LIMIT 1",
            (since_s,),
        )
        return (int(found[0][0]), self._mapping(found[0][1])) if found else None

    def answer(self, number: int, answer: Mapping[str, Any]) -> None:
        """Answer one; one that was withdrawn is left alone.

        Raises:
            StoreError: It cannot be written.
        """
        self._file.write(
            "UPDATE question SET answer = ? WHERE id = ?", (json.dumps(answer), number)
        )

    def take(self, number: int) -> Mapping[str, Any] | None:
        """The answer, once; None = there is none yet.

        Raises:
            StoreError: It cannot be read.
        """
        found = self._file.rows("SELECT answer FROM question WHERE id = ?", (number,))
        if not found or found[0][0] is None:
            return None
        self.withdraw(number)
        return self._mapping(found[0][0])

    def withdraw(self, number: int) -> None:
        """Wait for it no more.

        Raises:
            StoreError: It cannot be written.
        """
        self._file.write("DELETE FROM question WHERE id = ?", (number,))

    def _mapping(self, text: str) -> Mapping[str, Any]:
        try:
            value = json.loads(text)
        except ValueError as error:
            raise StoreError(f"store {self._file.path}: a question is damaged: {error}") from error
        return value if isinstance(value, dict) else {}
