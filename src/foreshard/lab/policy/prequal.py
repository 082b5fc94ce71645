"""This module is Prequal: probe a few cells, avoid the hot ones, take the fastest of the rest.

For classes without a key; keyed ones stay with their slots. How a proxy keeps its pool of probes
and applies the hot-cold rule is the balancer's part (`Pick.PREQUAL`).

Source: B. Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI
2024.
"""

from __future__ import annotations

from foreshard.lab.policy.peer import Fixed
from foreshard.lab.policy.program import Draft, even_shares, even_slots
from foreshard.lab.policy.setting import Setting
from foreshard.lab.simulation.routing import Pick

__all__ = ["prequal"]


def prequal(setting: Setting) -> Fixed:
    """Prequal for free classes, slots for keyed ones."""
    return Fixed(
        draft=Draft(
            share=even_shares(setting),
            free=Pick.PREQUAL,
            slots=even_slots(setting),
            net=setting.net,
        )
    )
