"""This module is one side of a live comparison: who steers, a fleet, and the Envoy before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from foreshard.controller.process import Child
from foreshard.lab.keeper import Patience
from foreshard.lab.live.edge import configured_envoy, foreshard, site_of, steered_envoy
from foreshard.lab.live.ports import Ports, Wiring
from foreshard.lab.live.role import Configured, Process, Role
from foreshard.lab.policy.outlier import outlier
from foreshard.lab.policy.program import Draft, table_of_draft
from foreshard.lab.policy.setting import Setting, setting_for
from foreshard.lab.policy.sticky import sticky
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.webhook import Webhook
from foreshard.model.errors import LabError, SinkError
from foreshard.model.routing import RoutingTable
from foreshard.ports import Rejected, RouteSink

__all__ = ["Place", "Side", "Steered", "side_of"]

# Of a restart: from the start of a process to its first answer.
STARTING_S = 1.0
# Before the first table of any policy.
OPENING_VERSION = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a side is put up.

    Attributes:
        scenario: What will happen to it.
        directory: Gets its files; short, for the path of a socket has 107 bytes.
        events: File of announced events.
        wiring: How Foreshard is started and asked.
    """

    scenario: Scenario
    directory: Path
    events: Path
    wiring: Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What steers a fleet.

    Attributes:
        config: Of Foreshard.
        child: Its process.
        ports: The world around the fleet.
    """

    config: Path
    child: Child
    ports: Ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One fleet on trial.

    Attributes:
        role: Who steers it.
        fleet: Its cells.
        url: Of its Envoy.
        opening: What is routed at first.
        steered: None where nobody steers.
    """

    role: Role
    fleet: Supervisor
    url: str
    opening: RoutingTable
    steered: Steered | None = None


async def side_of(stack: AsyncExitStack, role: Role, place: Place) -> Side:
    """Put up one side; whoever closes the stack ends it.

    Raises:
        LabError: Something could not be started.
    """
    scenario, directory = place.scenario, place.directory / role.name
    fleet = await stack.enter_async_context(
        Supervisor(
            sites=scenario.sites,
            logs=directory,
            patience=Patience(restart_delay_s=scenario.make.restart_s - STARTING_S),
            versions=scenario.versions,
        )
    )
    setting = setting_for(scenario, fleet.fleet)
    draft = _draft(role, setting)
    opening = table_of_draft(draft, setting, version=OPENING_VERSION)
    if isinstance(role, Configured):
        url = await configured_envoy(
            stack,
            fleet,
            role.classes(scenario),
            name="envoy",
            directory=directory,
            # The one that the policy of that name has on the simulated stage.
            net=draft.net,
        )
        return Side(role=role, fleet=fleet, url=url, opening=opening)
    door = await stack.enter_async_context(Webhook(fleet))
    site = site_of(stack, fleet, directory, events=place.events, door=door)
    part = "serve"
    if isinstance(role, Process):
        part = "run"
    forecast = role.forecast if isinstance(role, Process) else "none"
    config = directory / "foreshard.yaml"
    config.write_text(place.wiring.config(scenario, site, forecast=forecast))
    ports = await stack.enter_async_context(place.wiring.ports(config))
    has_plan = _made_by(ports.sink) if isinstance(role, Process) else _made(ports.sink, opening)
    child = await foreshard(
        stack,
        place.wiring.command(part, config),
        log=directory / "foreshard.log",
        has_plan=has_plan,
    )
    text = place.wiring.bootstrap(config, admin_port=int(site.admin.rpartition(":")[2]))
    url = await steered_envoy(stack, text, site, name="envoy", directory=directory)
    steered = Steered(config=config, child=child, ports=ports)
    return Side(role=role, fleet=fleet, url=url, opening=opening, steered=steered)


def _draft(role: Role, setting: Setting) -> Draft:
    """Even shares: what everybody begins with."""
    is_free = isinstance(role, Configured) and not role.has_homes
    return (outlier if is_free else sticky)(setting).draft


def _made_by(sink: RouteSink) -> Callable[[], Awaitable[bool]]:
    """Whether somebody has given the sink a plan."""

    async def has_plan() -> bool:
        try:
            return await sink.live() is not None
        except SinkError:
            return False

    return has_plan


def _made(sink: RouteSink, opening: RoutingTable) -> Callable[[], Awaitable[bool]]:
    """Give the sink its first plan, as soon as it takes one."""

    async def has_plan() -> bool:
        try:
            answer = await sink.apply(opening)
        except SinkError:
            return False
        if isinstance(answer, Rejected):
            raise LabError(f"the first table was refused: {answer.because}")
        return True

    return has_plan
