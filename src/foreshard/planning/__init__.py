"""Risk, cost and topology in, a plan out: pure functions on arrays."""

from __future__ import annotations

__all__: list[str] = []
