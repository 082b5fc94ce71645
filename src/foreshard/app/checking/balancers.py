"""This module is what is made of the Envoys: there, able, pointed at Foreshard, counting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foreshard.app.checking.facts import BalancerFacts
from foreshard.app.checking.finding import Finding, Mark, Section, green

__all__ = ["NEEDED", "judge_balancers"]

# Seen to work; an older one lacks `envoy.access_loggers.stats`.
TRIED = (1, 40)
NEEDED = {
    "envoy.access_loggers.stats": "it cannot count requests by class and node",
    "envoy.filters.http.fault": "it cannot turn requests away when there are too many",
    "envoy.http.early_header_mutation.header_mutation": "it cannot tell the class of a request",
    "envoy.formatter.cel": "it cannot tell the class of a request",
    "envoy.retry_host_predicates.previous_hosts": "a retry may meet the same dying node again",
    "envoy.cluster.eds": "it cannot be told where the cells are",
}
"""What must be built in, and what is lost without it."""

# How a relay calls itself; a test holds the two together.
RELAY = "foreshard relay"
WILDCARDS = frozenset({"0.0.0.0"})  # noqa: S104 - compared, not listened on


def judge_balancers(
    balancers: Sequence[BalancerFacts],
    *,
    discovery: str,
    also: frozenset[str] = frozenset(),
    file: str,
) -> Iterator[Finding]:
    """Every Envoy.

    Args:
        balancers: What was seen of them.
        discovery: Where they should look for Foreshard; a wildcard host stands for any.
        also: The same, with its name resolved.
        file: The configuration, as people write it.
    """
    for each in balancers:
        if each.silent or each.info is None:
            yield _absent(each)
            continue
        yield from _able(each)
        yield from _place(each)
        yield _pointed(each, discovery, also, file)


def _absent(each: BalancerFacts) -> Finding:
    why = each.silent or "answers, but is no Envoy"
    return Finding(
        section=Section.BALANCERS,
        mark=Mark.RED,
        says=f"envoy {each.address}: {why}",
        means="nobody knows which requests arrive and how they fare, so no plan can be made",
        todo="start it, or mend balancers.admin: the port of the admin page, not of requests",
        weight=95,
    )


def _able(each: BalancerFacts) -> Iterator[Finding]:
    info = each.info
    if info is None:
        return
    lacks = {
        name: loss
        for name, loss in NEEDED.items()
        if info.extensions and name not in info.extensions
    }
    for name, loss in lacks.items():
        yield Finding(
            section=Section.BALANCERS,
            mark=Mark.RED,
            says=f"envoy {each.address}: {name} is not built in",
            means=loss,
            todo=f"use an Envoy of at least {_dotted(TRIED)} with all core and contrib extensions",
            weight=92,
        )
    if info.state != "LIVE":
        yield Finding(
            section=Section.BALANCERS,
            mark=Mark.RED,
            says=f"envoy {each.address}: is {info.state or 'in an unknown state'}, not LIVE",
            means="it takes no requests yet, or no more",
            todo="see its log; one that waits for its configuration needs `foreshard run`",
            weight=91,
        )
    if _number(info.version) < TRIED:
        yield Finding(
            section=Section.BALANCERS,
            mark=Mark.AMBER,
            says=f"envoy {each.address}: version {info.version} is older than {_dotted(TRIED)}",
            means="nobody has tried whether it understands all that it will be told",
            todo=f"use {_dotted(TRIED)} or newer",
            weight=45,
        )
    elif not lacks and info.state == "LIVE":
        known = f", {len(NEEDED)} of {len(NEEDED)} features built in" if info.extensions else ""
        yield green(Section.BALANCERS, f"envoy {each.address}: version {info.version}{known}")


def _place(each: BalancerFacts) -> Iterator[Finding]:
    if each.info and each.info.region and each.info.region != each.origin:
        yield Finding(
            section=Section.BALANCERS,
            mark=Mark.AMBER,
            says=f"envoy {each.address}: says it stands in {each.info.region}, "
            f"balancers.origin says {each.origin}",
            means="its requests are planned as if they came from the wrong region",
            todo="let both name the same region (`foreshard bootstrap --origin`)",
            weight=48,
        )


def _pointed(each: BalancerFacts, discovery: str, also: frozenset[str], file: str) -> Finding:
    bootstrap = f"start it with what `foreshard bootstrap {file}` prints"
    if not each.discovery:
        return Finding(
            section=Section.BALANCERS,
            mark=Mark.AMBER,
            says=f"envoy {each.address}: is not steered by Foreshard yet",
            means="its requests are not counted and cannot be moved; metrics are watched all the "
            "same",
            todo=bootstrap,
            weight=55,
        )
    if each.discovery not in {discovery, *also} and not _is_anywhere(discovery, each.discovery):
        return Finding(
            section=Section.BALANCERS,
            mark=Mark.RED,
            says=f"envoy {each.address}: looks for Foreshard at {each.discovery}, "
            f"envoy.discovery is {discovery}",
            means="it never hears of a plan",
            todo=bootstrap,
            weight=93,
        )
    if each.is_connected is False:
        return Finding(
            section=Section.BALANCERS,
            mark=Mark.AMBER,
            says=f"envoy {each.address}: finds nobody at {discovery}, its discovery",
            means="it goes on with the last plan it was given; a fresh one has none",
            todo=f"start `foreshard run {file}`",
            weight=52,
        )
    if each.steered_by.startswith(RELAY):
        # It names the relay until there is something new to tell, also after it went back.
        return Finding(
            section=Section.BALANCERS,
            mark=Mark.AMBER,
            says=f"envoy {each.address}: was last told a plan by a relay ({each.steered_by})",
            means="while Foreshard does not answer, nothing is moved for it",
            todo=f"start `foreshard run {file}`; with the next change of plan it says so itself",
            weight=53,
        )
    if not each.counted:
        return Finding(
            section=Section.BALANCERS,
            mark=Mark.AMBER,
            says=f"envoy {each.address}: is steered, and has counted no request yet",
            means="what requests cost and how many come is learned from traffic",
            todo="send requests through it",
            weight=25,
        )
    return green(
        Section.BALANCERS,
        f"envoy {each.address}: steered from {discovery}, has counted {each.counted} requests",
    )


def _is_anywhere(discovery: str, asked: str) -> bool:
    """Whether Foreshard listens on every address of its machine, and on this port."""
    host, _, port = discovery.rpartition(":")
    return host in WILDCARDS and asked.rpartition(":")[2] == port


def _number(version: str) -> tuple[int, ...]:
    parts = version.partition("-")[0].split(".")
    return tuple(int(part) for part in parts[:2] if part.isdigit())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
