"""This module is the power of two choices: the better of two cells drawn at random.

For classes without a key; keyed ones stay with their slots. Choosing by requests in flight
between two random servers shortens the longest queue from log n / log log n to log log n.

Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS
12(10), 2001.
"""

from __future__ import annotations

from foreshard.lab.policy.peer import Fixed
from foreshard.lab.policy.program import Draft, even_shares, even_slots
from foreshard.lab.policy.setting import Setting
from foreshard.lab.simulation.routing import Pick

__all__ = ["p2c"]


def p2c(setting: Setting) -> Fixed:
    """Two choices for free classes, slots for keyed ones."""
    return Fixed(
        draft=Draft(
            share=even_shares(setting),
            free=Pick.TWO_CHOICES,
            slots=even_slots(setting),
            net=setting.net,
        )
    )
