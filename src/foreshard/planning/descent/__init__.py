"""Plans for fleets: block-coordinate descent against live cell prices."""

from __future__ import annotations

__all__: list[str] = []
