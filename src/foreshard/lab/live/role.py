"""This module is who steers on the live stage, and how they can be told to a real Envoy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from foreshard.lab.policy.policy import Policy
from foreshard.lab.policy.registry import ORACLE, PEERS, policy
from foreshard.lab.scenario.scenario import Scenario
from foreshard.model.errors import LabError
from foreshard.model.workload import RequestClass

__all__ = ["Configured", "Process", "Role", "Tables", "role_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """An Envoy with one configuration, which nobody changes.

    Attributes:
        name: Of the policy.
        has_homes: Whether keyed classes stay at home; else every class is free.
    """

    name: str
    has_homes: bool

    def classes(self, scenario: Scenario) -> tuple[RequestClass, ...]:
        """As this Envoy knows them."""
        if self.has_homes:
            return scenario.classes
        return tuple(replace(each, key_header="", data=None) for each in scenario.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """Foreshard's own processes, started as a user would.

    Attributes:
        name: Of the policy.
        forecast: A forecaster by name, or `none`.
    """

    name: str
    forecast: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """A policy of the lab, whose tables a real `foreshard serve` gives out.

    Attributes:
        policy: The very same as on the simulated stage.
        is_told: Whether it is told the truth.
    """

    policy: Policy
    is_told: bool = False

    @property
    def name(self) -> str:
        """Of the policy."""
        return self.policy.name


Role: TypeAlias = Configured | Process | Tables

CONFIGURED: Final[Mapping[str, Configured]] = MappingProxyType(
    {
        "outlier": Configured(name="outlier", has_homes=False),
        "sticky": Configured(name="sticky", has_homes=True),
    }
)
BY_TABLES: Final = frozenset({"closed-loop", "predict-linear"})
# What others need and no table says.
WANTING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "static": "picks at random without ejection",
        "p2c": "picks the better of two by weight",
        "prequal": "probes the cells",
        "load-aware": "picks at random by measured load",
        "hazl": "picks the better of two by weight",
    }
)


def role_of(name: str) -> Role:
    """The part of a policy of the lab.

    Raises:
        LabError: There is no such policy, or it steers in ways that no routing table says.
    """
    if name in CONFIGURED:
        return CONFIGURED[name]
    if name in BY_TABLES or name in ORACLE:
        return Tables(policy=policy(name), is_told=name in ORACLE)
    able = ", ".join(sorted({*CONFIGURED, *BY_TABLES, *ORACLE}))
    if name in PEERS:
        raise LabError(
            f"policy {name} cannot be played live: it {WANTING.get(name, 'is simulated')}, which "
            f"no routing table says; play it with `--stage sim`, or take {able} or foreshard"
        )
    raise LabError(f"policy {name!r} is unknown; live there are {able} and foreshard")
