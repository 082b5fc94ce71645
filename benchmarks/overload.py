"""This module is the fast loop alone against the oracle: three overloads, without a forecast.

    make bench-overload ARGS="--seeds 1-2"

Runs the stories `zone`, `surge` and `tight` once a seed with `--forecast none`, each about two
minutes. Points are percent of weighted demand that was bad; the oracle is the fluid one that
knows everything and gives up the least important class first (`foreshard.lab.policy.bound`).
Each run must come within two points of it over the whole run. The second table is of the stretch
in which the fault or surge was felt: half as much demand for the same harm, most of it in the
second that nobody could foresee. Finished runs are kept under `build/bench`, by commit, and not
run again; `--fresh` forgets them. Exit status 1 when a claim does not hold.

A machine that is busy with something else makes every queue longer: a run whose load generator
was late is no evidence, fails its own claim, and is run again by the next call.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

from runs import MOST_LATE_MS, all_of, seeds

STORIES = ("zone", "surge", "tight")
# The design's number: what the fast loop may lose to an oracle.
MOST_POINTS = 2.0

Report = dict[str, Any]


def main() -> int:
    """Run what is missing, then print the tables as Markdown."""
    options = _options()
    wanted = [
        (
            f"overload-{story}-{seed}",
            ["--seed", str(seed), "--story", story, "--forecast", options.forecast],
        )
        for story in options.stories
        for seed in seeds(options.seeds)
    ]
    if options.forecast != "none":
        wanted = [(f"{name}-{options.forecast}", args) for name, args in wanted]
    reports = [report for _, report in all_of(wanted, fresh=options.fresh)]
    for stretch, title in (("run", "over the whole run"), ("window", "while it was felt")):
        sys.stdout.write(_table(reports, stretch, title))
    sys.stdout.write(_shed_table(reports))
    broken = _broken(reports)
    sys.stdout.write("".join(f"\nDOES NOT HOLD: {claim}" for claim in broken))
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Three overloads against the oracle.")
    parser.add_argument("stories", nargs="*", default=STORIES, help="which; default: all three")
    parser.add_argument("--seeds", default="1-2", help="such as 1-2 or 3")
    parser.add_argument("--forecast", default="none", help="a forecaster, to compare")
    parser.add_argument("--fresh", action="store_true", help="forget finished runs")
    return parser.parse_args()


def _table(reports: list[Report], stretch: str, title: str) -> str:
    lines = [
        f"| points, {title} | reactive | foreshard | oracle | foreshard - oracle (worst) |",
        "|---|---|---|---|---|",
    ]
    for story in dict.fromkeys(report["story"] for report in reports):
        found = [r["oracle"][stretch] for r in reports if r["story"] == story]
        over = [each["over_points"]["foreshard"] for each in found]
        cells = [
            100.0 * statistics.mean(each["fleets"]["reactive"] for each in found),
            100.0 * statistics.mean(each["fleets"]["foreshard"] for each in found),
            100.0 * statistics.mean(each["bad_weighted_ratio"] for each in found),
        ]
        figures = " | ".join(f"{cell:.2f}" for cell in cells)
        worst = f"{statistics.mean(over):+.2f} ({max(over):+.2f})"
        lines.append(f"| {story} | {figures} | {worst} |")
    return "\n".join(lines) + "\n\n"


def _shed_table(reports: list[Report]) -> str:
    """Which classes Foreshard gave up, and how: shed on purpose, or lost."""
    names = list(reports[0]["fleets"]["foreshard"]["by_class"])
    lines = [
        f"| foreshard: shed, slow or failed | {' | '.join(names)} |",
        f"|---{'|---' * len(names)}|",
    ]
    for story in dict.fromkeys(report["story"] for report in reports):
        own = [r["fleets"]["foreshard"]["by_class"] for r in reports if r["story"] == story]
        cells = []
        for name in names:
            shed = sum(each[name]["shed"] for each in own)
            lost = sum(each[name]["slow"] + each[name]["failed"] for each in own)
            cells.append(f"{shed}, {lost} of {sum(each[name]['requests'] for each in own)}")
        lines.append(f"| {story} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _broken(reports: list[Report]) -> list[str]:
    """What these runs contradict, with the number."""
    broken = []
    for report in reports:
        run = f"{report['story']}, seed {report['seed']}"
        over = report["oracle"]["run"]["over_points"]["foreshard"]
        if over > MOST_POINTS:
            broken.append(f"{run}: within {MOST_POINTS:g} points of the oracle, was {over:.2f}")
        late_ms = report["loadgen_lateness_ms_p99"]
        if not late_ms < MOST_LATE_MS:
            broken.append(
                f"{run}: load generator late by under {MOST_LATE_MS:g} ms (p99), was "
                f"{late_ms:.0f}: the machine was busy, run it again"
            )
    return broken


if __name__ == "__main__":
    sys.exit(main())
