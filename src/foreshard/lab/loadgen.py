"""This module is everybody who uses the shop: an open loop that asks both fleets the same.

Arrivals never wait for answers. Each request goes to every fleet at the same instant, over
pooled connections without limit. The generator reports its own lateness, because a late
generator would make both fleets look better than they are.

    python -m foreshard.lab.loadgen --target reactive=http://127.0.0.1:8001 --duration-s 240
        --target foreshard=http://127.0.0.1:8002 --rate-rps 450 --out run.npz
        --surge report=4.4@80+80
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import numpy.typing as npt
import uvloop
from yarl import URL

from foreshard.lab import service
from foreshard.lab.reactive import SERVED_BY
from foreshard.lab.records import UNKNOWN_CELL, Outcome, Records, Run, judge, save
from foreshard.lab.traffic import DAY_S, Demand, Schedule, Surge, arrivals
from foreshard.model.errors import ForeshardError, LabError
from foreshard.model.workload import RequestClass

__all__ = ["Load", "generate", "main"]

# The client waits this much longer than the balancer, so that the balancer's answer to a
# timeout arrives and is counted by its status.
PATIENCE_S = 1.0
TIMER_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent where.

    Attributes:
        targets: Base URL of each fleet's edge, by fleet.
        classes: In the class order of the schedule.
        schedule: The requests.
        start_at_s: Moment of the schedule's zero, seconds since the epoch.
        cells: Cell name by node address (`host:port`), for all fleets; may be empty.
    """

    targets: Mapping[str, str]
    classes: Sequence[RequestClass]
    schedule: Schedule
    start_at_s: float
    cells: Mapping[str, str] = field(default_factory=dict)

    @property
    def cell_names(self) -> tuple[str, ...]:
        """Names in cell order."""
        return tuple(sorted(set(self.cells.values())))


async def generate(
    load: Load, *, stop: asyncio.Event, report: Callable[[Mapping[str, object]], None]
) -> Run:
    """Send the whole schedule, or up to `stop`, and return what was finished by then.

    Args:
        load: What is sent where.
        stop: Set it to end early; requests without an answer are then left `OPEN`.
        report: Called about once a second with the figures of that second (JSON values).

    Raises:
        LabError: `start_at_s` has already passed.
    """
    late_s = time.time() - load.start_at_s
    if late_s > 0.0:
        raise LabError(f"load: start_at_s passed {late_s:.1f} s ago, start further ahead")
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        crowd = _Crowd(load, session)
        speaker = asyncio.create_task(_speak(crowd, report))
        try:
            await crowd.play(stop)
        finally:
            speaker.cancel()
    return Run(
        classes=tuple(c.name for c in load.classes),
        cells=load.cell_names,
        fleets={aim.fleet: aim.records for aim in crowd.aims},
    )


async def _speak(crowd: _Crowd, report: Callable[[Mapping[str, object]], None]) -> None:
    """Report each second, on the second of the run."""
    second = 0
    while True:
        second += 1
        await asyncio.sleep(crowd.zero_s + second - time.monotonic())
        report(crowd.figures(second))


@dataclass(slots=True, kw_only=True)
class _Aim:
    """One fleet: where its requests go and what came of them."""

    fleet: str
    urls: Sequence[URL]
    records: Records
    done: list[int] = field(default_factory=list)
    bad_weighted: float = 0.0


class _Crowd:
    """The open loop: a timer walks the schedule, each request is a task of its own."""

    def __init__(self, load: Load, session: aiohttp.ClientSession) -> None:
        self.loop = asyncio.get_running_loop()
        # Not the loop's time: uvloop's has whole milliseconds.
        self.zero_s = time.monotonic() + load.start_at_s - time.time()
        self._load = load
        self._session = session
        self._timeouts = [
            aiohttp.ClientTimeout(total=c.timeout_s + PATIENCE_S) for c in load.classes
        ]
        self._cells = {a: load.cell_names.index(name) for a, name in load.cells.items()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0
        self._reported = 0
        schedule = load.schedule
        self.aims = [
            _Aim(
                fleet=fleet,
                urls=[URL(base + (c.match.path_prefix or "/")) for c in load.classes],
                records=Records.blank(schedule.t_s, schedule.request_class),
            )
            for fleet, base in load.targets.items()
        ]

    async def play(self, stop: asyncio.Event) -> None:
        """Send everything in time; return when all have ended, or at `stop`."""
        stopped = asyncio.create_task(stop.wait())
        work = asyncio.create_task(self._send_all())
        await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
        rest = {stopped, work, *self._tasks}
        for task in rest:
            task.cancel()
        outcomes = await asyncio.gather(*rest, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def figures(self, second: int) -> Mapping[str, object]:
        """What happened since the last call, and the running totals."""
        since, self._reported = self._reported, self._next
        sent = self._load.schedule.request_class[since : self._next]
        late_s = self.aims[0].records.lateness_s[since : self._next]
        return {
            "t_s": second,
            "lateness_ms_p99": _percentile_ms(late_s, 99.0),
            "fleets": {aim.fleet: self._fleet_figures(aim, sent) for aim in self.aims},
            "bad_weighted": {aim.fleet: aim.bad_weighted for aim in self.aims},
        }

    def _fleet_figures(
        self, aim: _Aim, sent: npt.NDArray[np.uint8]
    ) -> Mapping[str, Mapping[str, float | None]]:
        at = np.array(aim.done, dtype=np.intp)
        aim.done.clear()
        done = aim.records.at(at)
        verdict = judge(done, self._load.classes)
        aim.bad_weighted += float(verdict.bad_weighted.sum())
        figures: dict[str, Mapping[str, float | None]] = {}
        for index, request_class in enumerate(self._load.classes):
            own = done.request_class == index
            latency_s = done.latency_s[own & (done.outcome == Outcome.ANSWERED)]
            figures[request_class.name] = {
                "sent": int(np.count_nonzero(sent == index)),
                "done": int(np.count_nonzero(own)),
                "failed": int(np.count_nonzero(own & verdict.failed)),
                "slow": int(np.count_nonzero(own & verdict.slow)),
                "shed": int(np.count_nonzero(own & verdict.shed)),
                "p50_ms": _percentile_ms(latency_s, 50.0),
                "p99_ms": _percentile_ms(latency_s, 99.0),
            }
        return figures

    async def _send_all(self) -> None:
        t_s = self._load.schedule.t_s
        while self._next < len(t_s):
            wait_s = self.zero_s + float(t_s[self._next]) - time.monotonic()
            if wait_s > 0.0:
                # uvloop's timers have whole milliseconds: a shorter wait would spin.
                await asyncio.sleep(max(wait_s, TIMER_S))
            self._send_due(time.monotonic() - self.zero_s)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _send_due(self, now_s: float) -> None:
        schedule = self._load.schedule
        while self._next < len(schedule) and schedule.t_s[self._next] <= now_s:
            at = self._next
            self._next += 1
            index = int(schedule.request_class[at])
            request_class = self._load.classes[index]
            headers = {service.DRAW_HEADER: str(schedule.draw[at])}
            if request_class.is_keyed:
                headers[request_class.key_header] = f"k{schedule.key[at]}"
            for aim in self.aims:
                task = self.loop.create_task(self._ask(aim, at, index, headers))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _ask(self, aim: _Aim, at: int, index: int, headers: Mapping[str, str]) -> None:
        """Send one request and write down what came of it; a cancelled one stays open."""
        records = aim.records
        sent_s = time.monotonic()
        records.lateness_s[at] = sent_s - self.zero_s - float(records.t_s[at])
        records.outcome[at] = Outcome.OPEN
        try:
            async with self._session.request(
                self._load.classes[index].match.method or "GET",
                aim.urls[index],
                headers=headers,
                timeout=self._timeouts[index],
                allow_redirects=False,
            ) as answer:
                await answer.read()
            records.status[at] = answer.status
            served_by = answer.headers.get(SERVED_BY, "")
            records.cell[at] = self._cells.get(served_by, UNKNOWN_CELL)
            outcome = Outcome.ANSWERED
        except TimeoutError:
            outcome = Outcome.TIMED_OUT
        except aiohttp.ClientConnectorError:
            outcome = Outcome.NOT_CONNECTED
        except (aiohttp.ClientError, OSError):
            outcome = Outcome.BROKEN
        records.latency_s[at] = time.monotonic() - sent_s
        records.outcome[at] = outcome
        aim.done.append(at)


def _percentile_ms(seconds: npt.NDArray[np.float32], q: float) -> float | None:
    return None if not len(seconds) else round(float(np.percentile(seconds, q)) * 1e3, 3)


def _pairs(items: Sequence[str], option: str) -> dict[str, str]:
    """Read `NAME=VALUE` options; a name may come twice, which keeps the last."""
    pairs = dict(item.split("=", 1) for item in items if "=" in item)
    if not items or not all("=" in item for item in items):
        raise LabError(f"{option}: give NAME=VALUE at least once, not {list(items)}")
    return pairs


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="foreshard.lab.loadgen", description="Open-loop load.")
    parser.add_argument("--target", action="append", default=[], metavar="FLEET=URL")
    parser.add_argument("--node", action="append", default=[], metavar="HOST:PORT=CELL")
    parser.add_argument(
        "--rate-rps", type=float, default=service.offered_rps(service.DEFAULT_LOAD)
    )
    parser.add_argument("--duration-s", type=float, required=True)
    parser.add_argument("--keys", type=int, default=service.KEYS)
    parser.add_argument("--swing", type=float, default=service.SWING_RATIO)
    parser.add_argument("--period-s", type=float, default=DAY_S)
    parser.add_argument("--surge", action="append", default=[], metavar="CLASS=FACTOR@AT+LASTS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-at-s", type=float, help="epoch seconds; default: in one second")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN.npz")
    return parser.parse_args(argv)


async def _run(options: argparse.Namespace) -> None:
    demand = Demand(
        rate_rps=options.rate_rps,
        duration_s=options.duration_s,
        mix=tuple(service.MIX[c.name] for c in service.CLASSES),
        keys=options.keys,
        swing=options.swing,
        period_s=options.period_s,
        surges=tuple(Surge.parse(text, list(service.MIX)) for text in options.surge),
    )
    load = Load(
        targets=_pairs(options.target, "--target"),
        classes=service.CLASSES,
        schedule=arrivals(demand, seed=options.seed),
        start_at_s=time.time() + 1.0 if options.start_at_s is None else options.start_at_s,
        cells=_pairs(options.node, "--node") if options.node else {},
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sent in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sent, stop.set)
    before_s = time.process_time()
    run = await generate(load, stop=stop, report=_say)
    used_s = time.process_time() - before_s
    save(run, options.out)
    sent_all = [int(np.count_nonzero(r.outcome != Outcome.UNSENT)) for r in run.fleets.values()]
    late_s = next(iter(run.fleets.values())).lateness_s
    _say(
        {
            "requests": sum(sent_all),
            "cpu_us_per_request": round(1e6 * used_s / max(1, sum(sent_all)), 1),
            "lateness_ms_p99": _percentile_ms(late_s[~np.isnan(late_s)], 99.0),
        }
    )


def _say(figures: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Send a schedule to fleets, one line of JSON a second, records at the end."""
    # What the imports left behind never becomes garbage: collections need not look at it.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(_options(argv)))
    except ForeshardError as error:
        sys.stderr.write(f"loadgen: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
