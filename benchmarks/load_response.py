"""This module is whether a lighter load lowers the risk as it does in truth, and only then.

    make bench-load ARGS="--seeds 1-3"

Fleets in which work costs ever more (a lighter load cures it), fleets that leak or fill their
disks (it does not), and fleets in which something else takes the processor or the pool (it helps a
little) are asked once a degradation, at a moment drawn at random: how likely is a
failure within the hour under a quarter, a half, three quarters and all of the present load? Then
the same world is lived again under each. Asked of every learner that is no baseline: at half the
load within 5 points of the truth where load is the cause; where it is not, no more than 5 points
of fall beyond the true one. Exit status 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from foreshard.app.learning import learner_named, learner_names
from foreshard.forecast.learner import RiskModel
from foreshard.lab.gradual.contest import HORIZONS_S
from foreshard.lab.gradual.fault import Cause, FaultPlan
from foreshard.lab.gradual.fleet import RULE, FleetPlan, generate
from foreshard.lab.gradual.question import LOADS, Response, ask, draw_questions, respond
from foreshard.model.errors import ForecastError

BASELINES = frozenset({"headroom", "predict-linear", "seasonal-naive"})
CAUSES = (
    Cause.CREEP,
    Cause.LEAK,
    Cause.DISK_FILL,
    Cause.CPU_HOG,
    Cause.POOL_STARVATION,
)
NEAR = 0.05
HALF = LOADS.index(0.5)


def main() -> int:
    """Run what is asked for; print a table as Markdown."""
    options = _options()
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    heads = ["learner", "cause", "questions", *(f"load x {load:g}: said, true" for load in LOADS)]
    sys.stdout.write("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|\n")
    broken: list[str] = []
    for name in options.model or learner_names():
        for cause in options.cause or CAUSES:
            try:
                found = _response(name, cause, seeds)
            except ForecastError as error:
                broken.append(f"{name}: {error}")
                break
            pairs = (f"{s:.3f}, {t:.3f}" for s, t in zip(found.said, found.true, strict=True))
            row = [name, cause.value, str(found.p.shape[1]), *pairs]
            sys.stdout.write("| " + " | ".join(row) + " |\n")
            sys.stdout.flush()
            if name not in BASELINES:
                broken += [f"{name}, {cause}: {lack}" for lack in _lacks(cause, found)]
    sys.stdout.writelines(f"\nDOES NOT HOLD: {line}" for line in broken)
    return 1 if broken else 0


def _lacks(cause: Cause, found: Response) -> Iterator[str]:
    said, true = found.said, found.true
    if cause is Cause.CREEP and not abs(said[HALF] - true[HALF]) <= NEAR:
        yield f"at half the load {said[HALF]:.3f} is said, {true[HALF]:.3f} is true"
    fall, true_fall = said[-1] - said[HALF], true[-1] - true[HALF]
    if cause is not Cause.CREEP and not fall - true_fall <= NEAR:
        yield f"half the load is said to lower it by {fall:.3f}, in truth by {true_fall:.3f}"


def _response(name: str, cause: Cause, seeds: range) -> Response:
    p, failed = [], []
    for seed in seeds:
        plan = FleetPlan(days=6.0, faults=FaultPlan(causes=(cause,), per_cell_day=0.8))
        trial = generate(plan, seed=seed)
        questions = draw_questions(trial, causes=(cause,), seed=seed)
        p.append(ask(_model(name, plan, seed), trial, questions, loads=LOADS))
        failed.append(
            respond(plan, trial, questions, seed=seed, horizon_s=HORIZONS_S[-1], loads=LOADS)
        )
    told = np.nan_to_num(np.concatenate(p, axis=1))
    return Response(loads=LOADS, p=told, failed=np.concatenate(failed, axis=1))


def _model(name: str, plan: FleetPlan, seed: int) -> RiskModel:
    """Fitted to another fleet of the same kind: what is asked about is later and elsewhere."""
    past = generate(plan, seed=10_000 + seed).history
    return learner_named(name).fit(past, RULE, HORIZONS_S, seed=seed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Risk under another load, said and true.")
    parser.add_argument("--seeds", default="1-3", help="such as 1-3 or 7")
    parser.add_argument("--model", action="append", help="a learner; all of them by default")
    parser.add_argument("--cause", action="append", type=Cause, help="all of them by default")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
