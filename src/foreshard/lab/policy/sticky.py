"""This module is keys at home: what most cell-based services do today.

A key's slot belongs to one cell, slots in proportion to the size of cells. When a cell dies,
health checks notice it after three failed ones, a second apart, and the nearest living cells
take its keys over until it is back; nothing else ever moves a key, ejection neither. Classes
without a key go by least request over all cells, with the whole net below.

Source: Envoy documentation, "Ring hash" and "Health checking"; Slack, "Slack's migration to a
cellular architecture" (2023).
"""

from __future__ import annotations

from dataclasses import replace

from foreshard.lab.policy.peer import Fixed
from foreshard.lab.policy.program import Draft, even_shares, even_slots
from foreshard.lab.policy.setting import Setting
from foreshard.lab.simulation.routing import Pick

__all__ = ["sticky"]


def sticky(setting: Setting) -> Fixed:
    """Slots at home, least request for the rest."""
    return Fixed(
        draft=Draft(
            share=even_shares(setting),
            free=Pick.LEAST_REQUEST,
            slots=even_slots(setting),
            net=replace(setting.net, ejects_keyed=False),
        )
    )
