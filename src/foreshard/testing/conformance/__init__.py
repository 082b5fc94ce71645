"""The contracts of ports and models, as checks that a plug-in has to pass."""

from __future__ import annotations

__all__: list[str] = []
