"""This module is a fleet as a Prometheus scrapes it.

Its labels say what its owner took for a cell; where no label does, each instance is one. The
port that is scraped is taken for the port of requests: Foreshard knows one port a node.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from foreshard.adapters.inspection.targets import Target
from foreshard.app.starting.sighting import Sighting, cell_of, named
from foreshard.model.errors import ConfigError

__all__ = ["resolved", "sighted"]

CELL_LABELS = ("cell", "shard", "pod_set", "cluster", "deployment", "nodename", "pod")
REGION_LABELS = (
    "region",
    "topology_kubernetes_io_region",
    "__meta_ec2_region",
    "cloud_region",
    "datacenter",
    "dc",
)
ZONE_LABELS = (
    "zone",
    "topology_kubernetes_io_zone",
    "__meta_ec2_availability_zone",
    "availability_zone",
    "az",
)


def sighted(
    where: str, targets: Sequence[Target], *, job: str = "", resolve: Callable[[str], str]
) -> Sighting:
    """What a Prometheus knows.

    Args:
        where: Its URL.
        targets: Whom it scrapes.
        job: Whose targets are the service's; "" = those of the only job.
        resolve: Turns `host:port` into `ip:port`.

    Raises:
        ConfigError: It is not clear which targets are meant.
    """
    jobs = sorted({target.job for target in targets} - {"prometheus"})
    if not job and len(jobs) != 1:
        raise ConfigError(
            f"prometheus {where}: has jobs {', '.join(jobs) or '(none)'}; name the service's "
            "with --job"
        )
    wanted = [t for t in targets if t.job == (job or jobs[0])]
    if not wanted:
        raise ConfigError(
            f"prometheus {where}: has no target of job {job!r}; its jobs are {', '.join(jobs)}"
        )
    label = _telling(wanted)
    groups: dict[str, list[Target]] = {}
    for target in wanted:
        name = target.labels.get(label, "") if label else target.labels.get("instance", "")
        groups.setdefault(named(name or target.address), []).append(target)
    cells = tuple(
        cell_of(
            name,
            _first(group[0], REGION_LABELS),
            _first(group[0], ZONE_LABELS),
            [resolve(target.address) for target in group],
        )
        for name, group in sorted(groups.items())
    )
    how = f"one for each value of the label {label}" if label else "one for each instance"
    notes = [f"{len(cells)} cells, {how}, from job {job or jobs[0]}"]
    if down := [t.address for t in wanted if not t.is_up]:
        notes.append(f"down in its eyes: {', '.join(down)}")
    notes.append("the port that is scraped is taken for the port of requests: look at the nodes")
    return Sighting(
        found_at=f"the Prometheus at {where}",
        cells=cells,
        notes=tuple(notes),
        metrics_path=wanted[0].path,
    )


def resolved(address: str) -> str:
    """`host:port` as `ip:port`, by the resolver of this machine.

    Raises:
        ConfigError: It does not know the name.
    """
    host, _, port = address.rpartition(":")
    try:
        ip_address(host)
    except ValueError:
        try:
            return f"{socket.gethostbyname(host)}:{port}"
        except OSError as error:
            raise ConfigError(
                f"node {address}: {host} cannot be resolved ({error}); give its address"
            ) from error
    return address


def _telling(targets: Sequence[Target]) -> str:
    """The first label that all have and that tells some apart; "" = none."""
    for label in CELL_LABELS:
        values = {target.labels.get(label, "") for target in targets}
        if "" not in values and len(values) > 1:
            return label
    return ""


def _first(target: Target, labels: Sequence[str]) -> str:
    return next((target.labels[label] for label in labels if target.labels.get(label)), "")
