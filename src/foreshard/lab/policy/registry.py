"""This module is everybody on trial, by name, in the order of the tables.

What needs the whole program (Foreshard itself) is added by `app`, before the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from foreshard.lab.policy.closed_loop import ClosedLoop
from foreshard.lab.policy.hazl import Hazl
from foreshard.lab.policy.load_aware import LoadAware
from foreshard.lab.policy.oracle import Oracle
from foreshard.lab.policy.outlier import outlier
from foreshard.lab.policy.p2c import p2c
from foreshard.lab.policy.peer import Peer
from foreshard.lab.policy.policy import Policy
from foreshard.lab.policy.predict_linear import PredictLinear
from foreshard.lab.policy.prequal import prequal
from foreshard.lab.policy.static import Static
from foreshard.lab.policy.sticky import sticky
from foreshard.model.errors import LabError

__all__ = ["ORACLE", "PEERS", "policy"]

Maker = Callable[[], Policy]

PEERS: Final[Mapping[str, Maker]] = MappingProxyType(
    {
        "static": Static,
        "outlier": lambda: Peer(name="outlier", begin=outlier),
        "sticky": lambda: Peer(name="sticky", begin=sticky),
        "p2c": lambda: Peer(name="p2c", begin=p2c),
        "prequal": lambda: Peer(name="prequal", begin=prequal),
        "load-aware": lambda: Peer(name="load-aware", begin=LoadAware),
        "hazl": lambda: Peer(name="hazl", begin=Hazl),
        "closed-loop": lambda: Peer(name="closed-loop", begin=ClosedLoop),
        "predict-linear": lambda: Peer(name="predict-linear", begin=PredictLinear),
    }
)
ORACLE: Final[Mapping[str, Maker]] = MappingProxyType({"oracle": Oracle})


def policy(name: str) -> Policy:
    """A new policy of that name.

    Raises:
        LabError: There is none.
    """
    makers = {**PEERS, **ORACLE}
    if name not in makers:
        raise LabError(f"policy {name!r} is unknown; there are {', '.join(makers)}")
    return makers[name]()
