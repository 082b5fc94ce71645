"""This module is slots that move under load: does a request fail, is a key in two cells at once?

    make bench-slots ARGS="--rate 5000 --changes-per-minute 200 --duration-s 60"

A real Envoy is steered by the discovery service while keyed requests arrive on an open schedule.
The cells are listeners of a second Envoy that answer with their name: they cost next to nothing,
so that the machine is left to the proxy under test. Half of the requests belong to the quarter
of the slots that moves; each change moves a quarter of those from one cell to the next.

How long a key is in two cells is measured for the whole stretch of slots that moved, from the
outside: from the first *answer* of the new cell to the last *start* of a request that the old
cell answered. A request that was under way when the push came is no second home. It is compared
with how long that push took, from the call to the acknowledgement. Exit status 1 when a request
failed, a key had two homes for longer than its push took, or a cell answered for a key that the
library says is another's; also when the machine could not send at that rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.envoy.bootstrap import bootstrap_text
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.serve import ServeSettings, serving
from foreshard.controller.process import free_port, start
from foreshard.lab.envoy import Envoy
from foreshard.model.errors import LabError
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Match, Priority, RequestClass
from foreshard.planning.slots import slot_of
from foreshard.ports import Applied

__all__ = [
    "CHECKOUT",
    "Change",
    "Finding",
    "Stage",
    "Trial",
    "fire",
    "judge",
    "run",
    "stage",
    "text_of",
]

HOST = "127.0.0.1"
CELLS = 4
SLOTS = 4_096
KEYS = 20_000
# The stretch that moves, and in how many pieces.
MOBILE, PIECES = SLOTS // 4, 4
# Settled before the first change, and after the last.
EDGE_S = 1.0
PATIENCE_S = 20.0
# A trial that sent less than this part of what it was to send was another trial.
REACHED_RATIO = 0.95

CHECKOUT = RequestClass(
    name="checkout",
    priority=Priority.CRITICAL,
    weight=10.0,
    objective_s=0.4,
    timeout_s=2.0,
    match=Match(method="POST", path_prefix="/checkout"),
    key_header="x-key",
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried.

    Attributes:
        rate: Requests a second that are offered.
        changes_per_minute: Tables that are pushed, each moving a stretch of slots.
        duration_s: Of the load.
        generators: Processes that send.
        connections: Of each.
    """

    rate: float = 5_000.0
    changes_per_minute: float = 200.0
    duration_s: float = 60.0
    generators: int = 1
    connections: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs.

    Attributes:
        sink: Takes tables.
        cells: Named `cell-0` and so on.
        port: Where requests go.
        directory: For files of the run.
    """

    sink: ServeSink
    cells: tuple[Cell, ...]
    port: int
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One push: slots [first, end) went from cell to cell.

    Attributes:
        first: Slot.
        end: Slot after the last.
        source: Number of the old cell.
        target: Number of the new cell.
        pushed_s: When the table was given to the sink (CLOCK_MONOTONIC).
        acked_s: When the sink said that every balancer has it.
    """

    first: int
    end: int
    source: int
    target: int
    pushed_s: float
    acked_s: float

    @property
    def took_s(self) -> float:
        """From the call to the acknowledgement."""
        return self.acked_s - self.pushed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found; times in seconds.

    Attributes:
        requests: Sent.
        unsent: That the generator did not manage to send in time.
        failed: Not answered with 200.
        rate: Requests a second that were really sent.
        late_p99_s: How late the generator was.
        latency_p99_s: Of an answer.
        changes: Slot changes that were acknowledged.
        changes_per_minute: Of them.
        push_p50_s: Of push to acknowledgement.
        push_max_s: The longest.
        two_homes_max_s: Longest time for which a moved stretch was answered by both cells.
        two_homes_over: Changes for which that was longer than the push took.
        after_ack_max_s: How long after the acknowledgement the old cell still got a request.
        strangers: Answers by a cell that did not own the key, no push being under way.
        checked: Answers of which that could be said.
    """

    requests: int
    unsent: int
    failed: int
    rate: float
    late_p99_s: float
    latency_p99_s: float
    changes: int
    changes_per_minute: float
    push_p50_s: float
    push_max_s: float
    two_homes_max_s: float
    two_homes_over: int
    after_ack_max_s: float
    strangers: int
    checked: int

    @property
    def holds(self) -> bool:
        """Whether nothing failed and no key had two homes."""
        return not (self.failed or self.two_homes_over or self.strangers)


async def run(trial: Trial, directory: Path) -> Finding:
    """Set the stage, change slots under load, and judge."""
    async with stage(directory, lambda cells: _table(1, cells, _owners_at_first())) as running:
        plan = _plan(round(trial.rate * trial.duration_s))
        firing = asyncio.create_task(fire(plan, trial, running))
        changes = await _change_slots(trial, running)
        return judge(await firing, changes)


async def fire(keys: Ints, trial: Trial, running: Stage) -> dict[str, Floats]:
    """Send one request for each key, in that order; see `hammer` for what is seen.

    Raises:
        LabError: A generator failed.
    """
    directory = running.directory
    plan = directory / "plan.npy"
    np.save(plan, keys)
    outs = [directory / f"seen-{number}.npz" for number in range(trial.generators)]
    load = []
    for number, out in enumerate(outs):
        argv = [
            *(sys.executable, str(Path(__file__).with_name("hammer.py")), str(running.port)),
            *(str(trial.rate), str(trial.connections), f"{number}/{trial.generators}"),
            *(str(plan), str(out)),
        ]
        log = directory / f"hammer-{number}.log"
        load.append(await start(argv, name=f"hammer-{number}", log=log))
    for child in load:
        if await child.wait() != 0:
            raise LabError(f"{child.name} failed: {child.tail()}")
    parts = [np.load(out) for out in outs]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def judge(seen: dict[str, Floats], changes: Sequence[Change]) -> Finding:
    """What the requests say of the changes; see `hammer` for what was seen."""
    unsent = int(np.isnan(seen["sent_s"]).sum())
    seen = {name: values[~np.isnan(seen["sent_s"])] for name, values in seen.items()}
    sent, answered, cell = seen["sent_s"], seen["answered_s"], seen["cell"]
    slots = np.array([slot_of(f"key-{n}", SLOTS) for n in range(KEYS)])[seen["key"].astype(int)]
    failed = (seen["status"] != 200) | np.isnan(answered)
    good = ~failed
    two_homes, after_ack, over = [0.0], [0.0], 0
    for change in changes:
        near = good & (slots >= change.first) & (slots < change.end)
        near &= (sent > change.pushed_s - EDGE_S / 4) & (sent < change.acked_s + EDGE_S / 4)
        old, new = near & (cell == change.source), near & (cell == change.target)
        if not (old.any() and new.any()):
            continue
        both_s = max(0.0, float(sent[old].max() - answered[new].min()))
        two_homes.append(both_s)
        after_ack.append(max(0.0, float(sent[old].max()) - change.acked_s))
        over += both_s > change.took_s
    checked, strangers = _strangers(slots, sent, answered, cell, good, changes)
    took = np.array([c.took_s for c in changes])
    span_s = float(sent.max() - sent.min())
    pushed = [c.pushed_s for c in changes]
    return Finding(
        requests=sent.size,
        unsent=unsent,
        failed=int(failed.sum()),
        rate=(sent.size - 1) / span_s,
        late_p99_s=float(np.percentile(sent - seen["due_s"], 99)),
        latency_p99_s=float(np.nanpercentile(answered - sent, 99)),
        changes=len(changes),
        changes_per_minute=60.0 * (len(pushed) - 1) / (pushed[-1] - pushed[0]),
        push_p50_s=float(np.median(took)),
        push_max_s=float(took.max()),
        two_homes_max_s=max(two_homes),
        two_homes_over=over,
        after_ack_max_s=max(after_ack),
        strangers=strangers,
        checked=checked,
    )


def _strangers(
    slots: Ints,
    sent: Floats,
    answered: Floats,
    cell: Floats | Ints,
    good: NDArray[np.bool_],
    changes: Sequence[Change],
) -> tuple[int, int]:
    """How many answers lie between two pushes, and how many of them are not the owner's."""
    checked = strangers = 0
    edges = [*changes, None]
    owners = _owners_at_first()
    quiet_from = -np.inf
    for change in edges:
        until = change.pushed_s if change is not None else np.inf
        mine = good & (sent > quiet_from) & (answered < until)
        checked += int(mine.sum())
        strangers += int((cell[mine] != owners[slots[mine]]).sum())
        if change is not None:
            owners[change.first : change.end] = change.target
            quiet_from = change.acked_s + change.took_s
    return checked, strangers


async def _change_slots(trial: Trial, running: Stage) -> list[Change]:
    """Push a table every so often, until the load is about to end."""
    every_s = 60.0 / trial.changes_per_minute
    owners, size, changes = _owners_at_first(), MOBILE // PIECES, []
    began_s = time.monotonic()
    number, due_s = 0, began_s + EDGE_S
    while due_s < began_s + trial.duration_s - EDGE_S:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        first = number % PIECES * size
        source = int(owners[first])
        target = (source + 1) % CELLS
        owners[first : first + size] = target
        table = _table(number + 2, running.cells, owners)
        pushed_s = time.monotonic()
        outcome = await running.sink.apply(table)
        acked_s = time.monotonic()
        if not isinstance(outcome, Applied) or outcome.acks != 1:
            raise LabError(f"table {table.version} did not become live: {outcome}")
        changes.append(
            Change(
                first=first,
                end=first + size,
                source=source,
                target=target,
                pushed_s=pushed_s,
                acked_s=acked_s,
            )
        )
        number += 1
        due_s = max(due_s + every_s, time.monotonic())
    return changes


@asynccontextmanager
async def stage(
    directory: Path, first: Callable[[tuple[Cell, ...]], RoutingTable]
) -> AsyncIterator[Stage]:
    """Cells, the discovery service and a steered Envoy, whose first table is made of the cells."""
    ports = [free_port() for _ in range(CELLS)]
    nodes = [Node(host=HOST, port=port) for port in ports]
    cells = tuple(
        Cell(name=f"cell-{n}", region="eu", zone="eu", nodes=(node,))
        for n, node in enumerate(nodes)
    )
    settings = EnvoySettings(listen_port=free_port())
    serve = ServeSettings(
        data_dir=directory / "data",
        render=lambda table, origin: render(table, origin=origin, settings=settings),
    )
    async with AsyncExitStack() as stack:
        behind = await Envoy.launch(
            _cells_config(ports), name="cells", directory=directory, port=ports[0]
        )
        stack.push_async_callback(behind.stop)
        discovery = await stack.enter_async_context(serving(serve))
        sink = await stack.enter_async_context(ServeSink(serve.data_dir))
        await sink.apply(first(cells))
        config = bootstrap_text(
            node_id="edge",
            region="eu",
            zone="eu",
            discovery=(HOST, discovery),
            admin=("127.0.0.1", 0),
        )
        edge = await Envoy.launch(
            config, name="edge", directory=directory, port=settings.listen_port
        )
        stack.push_async_callback(edge.stop)
        await _until_open(settings.listen_port)
        yield Stage(sink=sink, cells=cells, port=settings.listen_port, directory=directory)


async def _until_open(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.write(b"POST /checkout HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\n\r\n")
            answer = await reader.readuntil(b"\r\n")
            writer.close()
            if b" 200 " in answer:
                return
            await asyncio.sleep(0.02)


def _plan(requests: int) -> Ints:
    """The key of every request: half of them in the stretch that moves."""
    draw = np.random.default_rng(7)
    slots = np.array([slot_of(f"key-{n}", SLOTS) for n in range(KEYS)])
    mobile, rest = np.flatnonzero(slots < MOBILE), np.flatnonzero(slots >= MOBILE)
    is_mobile = draw.random(requests) < 0.5
    return np.where(is_mobile, draw.choice(mobile, requests), draw.choice(rest, requests))


def _owners_at_first() -> Ints:
    return np.repeat(np.arange(CELLS), SLOTS // CELLS)


def _table(version: int, cells: tuple[Cell, ...], owners: Ints) -> RoutingTable:
    cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), SLOTS]
    runs = tuple(SlotRun(owner=cells[owners[a]].name, length=b - a) for a, b in pairwise(cuts))
    route = ClassRoute(request_class=CHECKOUT, rows={"eu": SlotRow(runs=runs)}, backups={})
    return RoutingTable(version=version, cells=cells, classes=(route,), default_class="checkout")


def _cells_config(ports: Sequence[int]) -> str:
    """An Envoy whose every listener answers with the name of a cell."""
    listeners = [
        {
            "name": f"cell-{n}",
            "address": {"socket_address": {"address": HOST, "port_value": port}},
            "filter_chains": [{"filters": [_answering(f"cell-{n}")]}],
        }
        for n, port in enumerate(ports)
    ]
    admin = {"address": {"socket_address": {"address": HOST, "port_value": 0}}}
    return json.dumps({"admin": admin, "static_resources": {"listeners": listeners}})


def _answering(name: str) -> dict[str, object]:
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "x-cell", "value": name}}],
    }
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = (
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager"
    )
    return {
        "name": "http",
        "typed_config": {
            "@type": manager,
            "stat_prefix": name,
            "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
            },
        },
    }


def text_of(trial: Trial, found: Finding) -> str:
    """The finding as Markdown."""
    rows = (
        ("requests, sent in time, not sent", f"{found.requests}, {found.unsent}"),
        ("rate offered, then reached, requests/s", f"{trial.rate:.0f}, {found.rate:.0f}"),
        ("failed requests", f"{found.failed}"),
        ("slot changes, a minute", f"{found.changes}, {found.changes_per_minute:.0f}"),
        ("push to ACK, median, ms", f"{1e3 * found.push_p50_s:.1f}"),
        ("push to ACK, longest, ms", f"{1e3 * found.push_max_s:.1f}"),
        ("a key in two cells, longest, ms", f"{1e3 * found.two_homes_max_s:.1f}"),
        ("changes in which that was longer than the push", f"{found.two_homes_over}"),
        ("old cell asked after the ACK, longest, ms", f"{1e3 * found.after_ack_max_s:.1f}"),
        ("answers checked against the library, wrong", f"{found.checked}, {found.strangers}"),
        ("latency p99, ms", f"{1e3 * found.latency_p99_s:.1f}"),
        ("load generator late, p99, ms", f"{1e3 * found.late_p99_s:.1f}"),
    )
    return "| slots under load | |\n|---|---|\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)


def main() -> int:
    """Run one trial and print it."""
    usual = Trial()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--changes-per-minute", type=float, default=usual.changes_per_minute)
    parser.add_argument("--duration-s", type=float, default=usual.duration_s)
    parser.add_argument("--generators", type=int, default=usual.generators)
    parser.add_argument("--connections", type=int, default=usual.connections)
    trial = Trial(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="slots-") as directory:
        found = asyncio.run(run(trial, Path(directory)))
    sys.stdout.write(text_of(trial, found))
    if found.rate < REACHED_RATIO * trial.rate:
        sys.stderr.write(
            f"only {found.rate:.0f} of {trial.rate:.0f} requests/s were sent: the machine is too "
            "small or too busy for this to say anything about that rate\n"
        )
        return 1
    return 0 if found.holds else 1


if __name__ == "__main__":
    sys.exit(main())
