"""This module is slow faults against every registered learner: announced, how early, how falsely.

    make bench-gradual ARGS="--seeds 1-3"

Each seed is a fleet of 4 x 6 cells that lives for 30 days (`foreshard.lab.gradual`): ten to fit
on, four of which the healthy samples choose the threshold, sixteen to be scored. Asked of every
learner that is no baseline, on faults that load does not cause: at least 90 % of the runs
announced 5 minutes or more ahead, a median lead of at least 40 % of the degradation, at most
0.2 false alarms a healthy cell-day. Exit status 1 when a learner falls short.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from foreshard.app.learning import learner_named, learner_names
from foreshard.lab.gradual.contest import Contest, Outcome, hold
from foreshard.lab.gradual.fault import LOAD_CAUSED, FaultPlan
from foreshard.lab.gradual.fleet import FleetPlan, generate
from foreshard.lab.gradual.score import Announced, Score
from foreshard.model.errors import ForecastError

BASELINES = frozenset({"headroom", "predict-linear", "seasonal-naive"})
LEAST_ANNOUNCED, LEAST_LEAD, MOST_FALSE, FEWEST_DAYS = 0.9, 0.4, 0.2, 300.0


def main() -> int:
    """Run what is asked for; print the tables as Markdown."""
    options = _options()
    short: list[str] = []
    for seed in _seeds(options.seeds):
        plan = FleetPlan(
            siblings=options.siblings,
            groups=max(options.cells // options.siblings, 1),
            days=options.days,
            faults=FaultPlan(
                per_cell_day=options.faults_a_day,
                shortest_s=60.0 * options.shortest_min,
                longest_s=60.0 * options.longest_min,
            ),
        )
        trial = generate(plan, seed=seed)
        sys.stdout.write(
            f"\nSeed {seed}: {len(trial.runs)} runs in {len(trial.faults)} faults\n\n"
        )
        sys.stdout.write(_head())
        outcomes: list[Outcome] = []
        for name in options.model or learner_names():
            began_s = time.perf_counter()
            try:
                outcome = hold(trial, learner_named(name), Contest(seed=seed))
            except ForecastError as error:
                short.append(f"seed {seed}, {name}: {error}")
                continue
            outcomes.append(outcome)
            sys.stdout.write(_row(outcome, time.perf_counter() - began_s))
            sys.stdout.flush()
            if name not in BASELINES:
                short += [f"seed {seed}, {name}: {lack}" for lack in _lacks(outcome.score)]
        sys.stdout.writelines(_breakdown(outcomes))
    sys.stdout.writelines(f"\nFALLS SHORT: {line}" for line in short)
    return 1 if short else 0


def _lacks(score: Score) -> Iterator[str]:
    standing = _standing(score)
    if not standing.announced_ratio >= LEAST_ANNOUNCED:
        yield f"announced {standing.announced_ratio:.3f}, wanted {LEAST_ANNOUNCED}"
    if not standing.lead_ratio >= LEAST_LEAD:
        yield f"median lead {standing.lead_ratio:.3f} of the degradation, wanted {LEAST_LEAD}"
    if not score.false_a_day <= MOST_FALSE:
        yield f"{score.false_a_day:.3f} false alarms a cell-day, allowed are {MOST_FALSE}"
    if not score.healthy_days >= FEWEST_DAYS:
        yield f"{score.healthy_days:.0f} healthy cell-days, wanted {FEWEST_DAYS:.0f}"


def _standing(score: Score) -> Score:
    """The score over faults that load does not cause."""
    return _of(score, [r for r in score.runs if r.run.fault.cause not in LOAD_CAUSED])


def _of(score: Score, runs: Iterable[Announced]) -> Score:
    return Score(
        runs=tuple(runs), false_alarms=score.false_alarms, healthy_days=score.healthy_days
    )


def _head() -> str:
    names = (
        "learner",
        "threshold",
        "announced",
        "lead of the degradation",
        "lead, min",
        "by load: announced",
        "false a cell-day",
        "healthy days",
        "s",
    )
    return "| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|\n"


def _row(outcome: Outcome, seconds: float) -> str:
    score = outcome.score
    standing = _standing(score)
    load = _of(score, [r for r in score.runs if r.run.fault.cause in LOAD_CAUSED])
    lead_min = float(np.median([r.lead_s for r in standing.runs])) / 60.0
    return (
        f"| {outcome.learner} | {outcome.threshold:.4f} | {standing.announced_ratio:.3f} of "
        f"{len(standing.runs)} | {standing.lead_ratio:.2f} | {lead_min:.0f} | "
        f"{load.announced_ratio:.3f} of {len(load.runs)} | {score.false_a_day:.3f} | "
        f"{score.healthy_days:.0f} | {seconds:.0f} |\n"
    )


def _breakdown(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Announced and lead by cause and by shape."""
    if not outcomes:
        return
    yield "\n| announced, lead | " + " | ".join(o.learner for o in outcomes) + " |\n"
    yield "|---" * (len(outcomes) + 1) + "|\n"
    for of in ("cause", "growth"):
        kinds = sorted({str(getattr(r.run.fault, of)) for r in outcomes[0].score.runs})
        for kind in kinds:
            cells = []
            for outcome in outcomes:
                runs = [r for r in outcome.score.runs if str(getattr(r.run.fault, of)) == kind]
                part = _of(outcome.score, runs)
                cells.append(f"{part.announced_ratio:.2f}, {part.lead_ratio:.2f}")
            yield f"| {kind} | " + " | ".join(cells) + " |\n"


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Slow faults against every learner.")
    parser.add_argument("--seeds", default="1-3", help="such as 1-3 or 7")
    parser.add_argument("--model", action="append", help="a learner; all of them by default")
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--siblings", type=int, default=6)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--faults-a-day", type=float, default=0.4, help="of one cell")
    parser.add_argument("--shortest-min", type=float, default=30.0)
    parser.add_argument("--longest-min", type=float, default=120.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
