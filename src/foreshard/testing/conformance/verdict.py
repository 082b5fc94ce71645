"""This module is how a check speaks: one sentence about what broke the contract."""

from __future__ import annotations

__all__ = ["require"]


def require(kept: object, sentence: str) -> None:
    """Go on when the contract is kept.

    Plain `assert` would vanish under `python -O` and show code where a sentence helps.

    Raises:
        AssertionError: It is not; with the sentence.
    """
    if not kept:
        raise AssertionError(sentence)
