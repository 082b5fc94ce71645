"""This module is what is made of this machine and of whatever else the configuration names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foreshard.app.checking.facts import BalancerFacts, PlaceFacts
from foreshard.app.checking.finding import Finding, Mark, Section, green
from foreshard.config import Settings

__all__ = ["judge_surroundings"]

# A day of decisions of a middling fleet, and room to write them again.
LEAST_FREE_BYTES = 512 * 1024 * 1024


def judge_surroundings(
    place: PlaceFacts, balancers: Sequence[BalancerFacts], settings: Settings, *, file: str
) -> Iterator[Finding]:
    """The data directory, the ports, the events and the driver."""
    yield _data_dir(place)
    yield _discovery(place, settings)
    yield _listen(place, balancers, settings, file)
    yield _events(place, settings)
    yield _driver(place, settings)


def _data_dir(place: PlaceFacts) -> Finding:
    where = f"data_dir {place.data_dir}"
    if place.unwritable:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.RED,
            says=f"{where}: {place.unwritable}",
            means="Foreshard does not start",
            todo="choose another data_dir, or give it to whoever runs Foreshard",
            weight=94,
        )
    if place.free_bytes < LEAST_FREE_BYTES:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.AMBER,
            says=f"{where}: {_mb(place.free_bytes)} free",
            means="decisions cannot be kept for long; steering goes on without a record",
            todo=f"make room for {_mb(LEAST_FREE_BYTES)}",
            weight=35,
        )
    held = "; ".join(f"{role} is {who}" for role, who in sorted(place.holders.items()))
    return green(
        Section.SURROUNDINGS,
        f"{where}: writable, {_mb(place.free_bytes)} free, "
        + (f"in use: {held}" if held else "used by nobody"),
    )


def _discovery(place: PlaceFacts, settings: Settings) -> Finding:
    address = settings.envoy.discovery
    if "serve" in place.holders:
        if place.discovery_taken:
            return green(Section.SURROUNDINGS, f"discovery port {address}: `foreshard serve`")
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.RED,
            says=f"discovery port {address}: nobody listens, though `foreshard serve` runs",
            means="no Envoy hears of a plan",
            todo="was envoy.discovery changed since it was started? Start it anew",
            weight=93,
        )
    if place.discovery_taken:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.RED,
            says=f"discovery port {address}: taken by another program",
            means="Foreshard does not start",
            todo="choose another port for envoy.discovery, and print the bootstraps anew",
            weight=94,
        )
    return green(Section.SURROUNDINGS, f"discovery port {address}: free")


def _listen(
    place: PlaceFacts, balancers: Sequence[BalancerFacts], settings: Settings, file: str
) -> Finding:
    address = settings.envoy.listen
    port = address.rpartition(":")[2]
    owners = [b for b in balancers if any(at.rpartition(":")[2] == port for at in b.listeners)]
    steered = [b for b in owners if b.discovery == settings.envoy.discovery]
    if steered:
        return green(Section.SURROUNDINGS, f"requests at {address}: a steered Envoy listens")
    if owners:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.AMBER,
            says=f"requests at {address}: an Envoy that is not steered listens",
            means="the steered Envoy will need this port",
            todo=f"stop that one when you start Envoy with `foreshard bootstrap {file}`",
            weight=28,
        )
    if place.listen_taken:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.AMBER,
            says=f"requests at {address}: a program listens that is none of these Envoys",
            means="the steered Envoy cannot take requests there",
            todo="choose another envoy.listen, or name that Envoy under balancers",
            weight=58,
        )
    return green(Section.SURROUNDINGS, f"requests at {address}: free for the steered Envoy")


def _events(place: PlaceFacts, settings: Settings) -> Finding:
    if place.events_wrong:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.RED,
            says=f"events: {place.events_wrong}",
            means="announced maintenance is not known, so cells are not emptied ahead of it",
            todo="mend the file; one without events holds []",
            weight=66,
        )
    if place.events is None:
        return green(Section.SURROUNDINGS, "events: none announced here (events_file is not set)")
    if place.events_strange:
        cells = ", ".join(cell.name for cell in settings.cells[:10])
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.RED,
            says=f"events: {'; '.join(place.events_strange)}",
            means="what was announced is not what will be done",
            todo=f"mend the file; there are {cells}{' ...' if len(settings.cells) > 10 else ''}",
            weight=64,
        )
    return green(Section.SURROUNDINGS, f"events: {settings.events_file} has {place.events} ahead")


def _driver(place: PlaceFacts, settings: Settings) -> Finding:
    if place.driver is None or settings.driver is None:
        return green(
            Section.SURROUNDINGS, "driver: none, an emptied cell waits for a person to restart it"
        )
    if place.driver:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.RED,
            says=f"driver: the webhook {place.driver}",
            means="an emptied cell is not restarted, and stays out of service",
            todo="start the receiver, or mend driver.webhook",
            weight=57,
        )
    return green(
        Section.SURROUNDINGS, "driver: somebody listens at the webhook (nothing was sent)"
    )


def _mb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
