"""The planners against each other, at the size of the reader's fleet."""

from __future__ import annotations

__all__: list[str] = []
