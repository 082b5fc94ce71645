"""This module is SIGKILL at random: a fleet whose Foreshard is killed, beside one left in peace.

    make bench-chaos ARGS="--kills 100 --seed 1"

Two equal steered fleets get the same requests, and the same maintenance is announced to both, so
that the plan never stands still. In one, a random process of `foreshard run` (the parent, `serve`
or `engine`) is killed at random moments, also while it starts; the parent is started again as an
init system would. Exit status 1 when one request more fails there, when a configuration was
refused, when the line of versions broke, or when anything ended for another reason than the kill.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from foreshard.lab import service
from foreshard.lab.records import Records, Run, judge
from tests.e2e.stage import until
from tests.e2e.twins import DISTURBED, ROLES, UNDISTURBED, Side, Twins, twins

__all__ = ["Plot", "Result", "main", "trial"]

# This part of the kills waits until the plan moves again.
STEERING_RATIO = 0.3
# A start, some seconds of watching, and the next announcement, on a busy machine.
STEERS_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What is done.

    Attributes:
        kills: How many.
        every_s: Mean time between two; the gaps are exponential, so some come in a burst.
        rate_rps: Requests to each fleet.
        seed: Of moments, victims and requests.
    """

    kills: int
    every_s: float = 2.5
    rate_rps: float = 60.0
    seed: int = 1

    def victims(self) -> list[str]:
        """In what order; each process equally often, as far as it comes out even."""
        order = [ROLES[n % len(ROLES)] for n in range(self.kills)]
        random.Random(self.seed).shuffle(order)
        return order


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it; figures by fleet.

    Attributes:
        killed: How often, by process.
        requests: Finished ones.
        failed: Without an answer, or with an error.
        slow: Later than the objective of their class.
        shed: Refused with 429.
        versions: Of the live table, first and last.
        whole_s: From the last kill until all was well again.
        broken: What must not be, in words; empty = all held.
    """

    killed: dict[str, int]
    requests: dict[str, int]
    failed: dict[str, int]
    slow: dict[str, int]
    shed: dict[str, int]
    versions: dict[str, tuple[int, int]]
    whole_s: float
    broken: list[str]


async def trial(plot: Plot) -> Result:
    """Kill; compare."""
    async with twins() as both:
        whole_s = 0.0

        async def act() -> None:
            nonlocal whole_s
            whole_s = await _disturb(both.sides[DISTURBED], plot)

        longest_s = 60.0 + 4.0 * plot.kills * (plot.every_s + 1.0)
        run = await both.play(act, rate_rps=plot.rate_rps, longest_s=longest_s, seed=plot.seed)
        return _result(plot, run, both, whole_s, await both.lost())


async def _disturb(side: Side, plot: Plot) -> float:
    rng = random.Random(plot.seed)
    for victim in plot.victims():
        await asyncio.sleep(rng.expovariate(1.0 / plot.every_s))
        # Some meet it while it starts, some while it steers; a burst alone lets it do neither.
        if rng.random() < STEERING_RATIO:
            await _steers(side)
        await side.kill(victim)
    began_s = time.monotonic()
    await side.whole()
    whole_s = time.monotonic() - began_s
    await _steers(side)
    return whole_s


async def _steers(side: Side) -> None:
    """Return when the live table has moved on from now."""
    since = side.versions[-1]

    async def moved() -> bool:
        return side.versions[-1] > since

    what = f"{side.name} steers on after version {since}; {side.exits[-3:]}"
    await until(moved, what, within_s=STEERS_WITHIN_S)


def _result(plot: Plot, run: Run, both: Twins, whole_s: float, lost: object) -> Result:
    counts: dict[str, dict[str, int]] = {w: {} for w in ("requests", "failed", "slow", "shed")}
    for fleet, records in run.fleets.items():
        finished = records.finished()
        verdict = judge(finished, service.CLASSES)
        counts["requests"][fleet] = len(finished)
        for what in ("failed", "slow", "shed"):
            counts[what][fleet] = int(np.count_nonzero(getattr(verdict, what)))
    versions = {name: side.versions for name, side in both.sides.items()}
    # Slow requests come in clusters, one for each moment in which the shared machine stalls:
    # moments are counted, and a difference beyond chance is ours.
    slow = {name: _seconds(records) for name, records in run.fleets.items()}
    chance = 3.0 * math.sqrt(slow[UNDISTURBED] + slow[DISTURBED] + 1)
    line = versions[DISTURBED]
    fell = [pair for pair in itertools.pairwise(line) if pair[1] < pair[0]]
    exits = both.sides[DISTURBED].exits
    rules = {
        f"more requests failed: {counts['failed']}": (
            counts["failed"][DISTURBED] > counts["failed"][UNDISTURBED]
        ),
        f"more seconds had slow requests than chance allows: {slow}": (
            slow[DISTURBED] > slow[UNDISTURBED] + chance
        ),
        f"more requests were shed: {counts['shed']}": (
            counts["shed"][DISTURBED] > counts["shed"][UNDISTURBED]
        ),
        f"holes in a configuration, or one refused: {lost}": bool(lost),
        f"ended by itself: {exits}": bool(exits),
        f"versions of the live table fell: {fell}": bool(fell),
        "the plan never moved, so nothing was at stake": len(line) < 2,
    }
    return Result(
        killed=dict(Counter(plot.victims())),
        versions={name: (seen[0], seen[-1]) for name, seen in versions.items()},
        whole_s=round(whole_s, 2),
        broken=[rule for rule, is_broken in rules.items() if is_broken],
        **counts,
    )


def _seconds(records: Records) -> int:
    """Seconds in which a request was slow."""
    finished = records.finished()
    slow = judge(finished, service.CLASSES).slow
    return len(np.unique(finished.t_s[slow].astype(int)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one trial and print it as JSON."""
    parser = argparse.ArgumentParser(description="SIGKILL at random, beside an undisturbed twin.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--every-s", type=float, default=2.5)
    parser.add_argument("--rate-rps", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the result goes, too")
    options = parser.parse_args(argv)
    plot = Plot(
        kills=options.kills,
        every_s=options.every_s,
        rate_rps=options.rate_rps,
        seed=options.seed,
    )
    result = asyncio.run(trial(plot))
    text = json.dumps(asdict(result), indent=2)
    if options.json is not None:
        options.json.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{text}\n")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
