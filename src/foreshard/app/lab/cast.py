"""This module is who plays: every policy by name, and which core is fit for a scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from foreshard.app.flying import Schooled
from foreshard.app.steering import trained_names
from foreshard.app.trying import ABLATIONS, foreshard, variant
from foreshard.lab.policy.policy import Policy
from foreshard.lab.policy.registry import ORACLE, PEERS
from foreshard.lab.run import Core
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.fluid.plant import FluidPlant
from foreshard.lab.simulation.requests.core import RequestPlant
from foreshard.model.errors import LabError

__all__ = [
    "CORES",
    "DEFAULT",
    "core_for",
    "is_told",
    "learner_of",
    "policies",
    "policy_named",
    "policy_names",
]

# Following every request is worth its time up to here.
MOST_FOLLOWED = 50

CORES: Final[Mapping[str, Core]] = MappingProxyType(
    {
        "requests": Core(
            name="requests", plant=lambda scenario, seed: RequestPlant(scenario, seed=seed)
        ),
        "fluid": Core(name="fluid", plant=lambda scenario, seed: FluidPlant(scenario, seed=seed)),
    }
)


def policies() -> Mapping[str, Callable[[], Policy]]:
    """Makers of all policies, in the order of the tables."""
    found = sorted(entry_points(group="foreshard.forecasters").names)
    return {
        **PEERS,
        **{f"foreshard-{name}": _with_forecast(name) for name in ("none", *found)},
        **{f"foreshard-{name}": _schooled(name) for name in sorted(trained_names())},
        **{name: _ablated(name) for name in ABLATIONS},
        "foreshard": foreshard,
        **ORACLE,
    }


def policy_named(name: str) -> Policy:
    """A new policy of that name.

    Raises:
        LabError: There is none.
    """
    return policies()[_known(name)]()


def policy_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """The names of policies, each once, in the order of the tables; none wanted = `DEFAULT`.

    Raises:
        LabError: One of them is unknown.
    """
    names = {_known(name) for name in wanted} or set(DEFAULT)
    return tuple(name for name in policies() if name in names)


def learner_of(policy: str) -> str:
    """Who has to learn before a policy plays; "" = nobody.

    Raises:
        LabError: There is no such policy.
    """
    made = policy_named(policy)
    return made.learner if isinstance(made, Schooled) else ""


def is_told(policy: str) -> bool:
    """Whether a policy is told the truth."""
    return policy in ORACLE


def core_for(scenario: Scenario, wanted: str = "") -> str:
    """Name of the core that plays a scenario: by its size, unless one is wanted.

    Raises:
        LabError: There is no such core.
    """
    if wanted and wanted not in CORES:
        raise LabError(f"core {wanted!r} is unknown; there are {', '.join(CORES)}")
    return wanted or ("requests" if len(scenario.sites) <= MOST_FOLLOWED else "fluid")


def _known(name: str) -> str:
    if name not in policies():
        raise LabError(f"policy {name!r} is unknown; there are {', '.join(policies())}")
    return name


def _with_forecast(forecast: str) -> Callable[[], Policy]:
    return lambda: foreshard(forecast)


def _schooled(learner: str) -> Callable[[], Policy]:
    return lambda: Schooled(name=f"foreshard-{learner}", learner=learner, is_contested=False)


def _ablated(name: str) -> Callable[[], Policy]:
    return lambda: variant(name)


# What a run compares where nothing is said: the limit, ourselves, and all who react.
DEFAULT: Final = (*PEERS, "foreshard-none", "foreshard", *ORACLE)
