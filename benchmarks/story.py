"""This module is the demo's story over several seeds: what acting early saved, and what it cost.

    make bench ARGS="--seeds 1-5"

Runs the default story once a seed and the quiet one at 62 % and at 80 % load, one after the
other, each about four minutes. Both fleets of a run get the same traffic and faults, so every
figure is a comparison within one run. Finished runs are kept under `build/bench`, by commit, and
not run again; `--fresh` forgets them. Exit status 1 when a claim of the README does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from math import inf
from typing import Any

from runs import MOST_LATE_MS, all_of, seeds


def main() -> int:
    """Run what is missing, then print the tables as Markdown."""
    options = _options()
    reports = all_of(_wanted(options), fresh=options.fresh)
    story = [report for name, report in reports if name.startswith("default")]
    if story:
        sys.stdout.write(_story_table(story))
    sys.stdout.write(_quiet_table([(n, r) for n, r in reports if n.startswith("quiet")]))
    sys.stdout.write(_cost_table([report for _, report in reports]))
    broken = _broken(reports)
    sys.stdout.write("".join(f"\nDOES NOT HOLD: {claim}" for claim in broken))
    return 1 if broken else 0


def _broken(reports: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The claims that these runs contradict."""
    story = [report for name, report in reports if name.startswith("default")]
    faults = [fault for report in story for fault in report["faults"]]
    predictable = [f for f in faults if f["predictable"]]
    crashes = [f for f in faults if not f["predictable"]]
    claims = {
        "at most a quarter of the harm of predictable faults": _ratio(predictable) <= 0.25,
        "at most 1.05 x the harm of the crash": _ratio(crashes) <= 1.05,
        "each predictable fault relieved before its onset": all(
            (f["lead_time_s"] or 0.0) > 0.0 for f in predictable
        ),
        "no false evacuation": not any(report["false_evacuations"] for _, report in reports),
        "quiet: at most 0.1 % of weighted demand harmed by us": all(
            _added(report) <= 0.001 for name, report in reports if name.startswith("quiet")
        ),
        "tick p99 under 50 ms": all(r["engine"]["tick_ms_p99"] < 50.0 for _, r in reports),
        "push to ACK p99 under 20 ms": all(
            (r["engine"]["push_to_ack_ms_p99"] or 0.0) < 20.0 for _, r in reports
        ),
        "under 300 MB": all(r["engine"]["rss_mb"] < 300.0 for _, r in reports),
        "load generator late by under 20 ms (p99)": all(
            r["loadgen_lateness_ms_p99"] < MOST_LATE_MS for _, r in reports
        ),
    }
    return [claim for claim, holds in claims.items() if not holds]


def _ratio(faults: list[dict[str, Any]]) -> float:
    sums = {f: sum(row["bad_weighted"][f] for row in faults) for f in ("reactive", "foreshard")}
    if not sums["reactive"]:
        return inf if sums["foreshard"] else 0.0
    return sums["foreshard"] / sums["reactive"]


def _added(report: dict[str, Any]) -> float:
    ratios = {name: fleet["bad_weighted_ratio"] for name, fleet in report["fleets"].items()}
    return float(ratios["foreshard"] - ratios["reactive"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The demo's story over several seeds.")
    parser.add_argument("--seeds", default="1-5", help="such as 1-5 or 3")
    parser.add_argument("--quiet-loads", type=float, nargs="*", default=[0.62, 0.8])
    parser.add_argument("--fresh", action="store_true", help="forget finished runs")
    return parser.parse_args()


def _wanted(options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    for seed in seeds(options.seeds):
        yield f"default-{seed}", ["--seed", str(seed)]
    for load in options.quiet_loads:
        yield f"quiet-{load:g}", ["--seed", "1", "--story", "quiet", "--load", str(load)]


def _story_table(reports: list[dict[str, Any]]) -> str:
    lines = [
        "| fault | reactive | foreshard | ratio | lead, s (least) | before onset |",
        "|---|---|---|---|---|---|",
    ]
    for index, fault in enumerate(reports[0]["faults"]):
        rows = [report["faults"][index] for report in reports]
        lines.append(_fault_row(fault["kind"], rows))
    predictable = [f for report in reports for f in report["faults"] if f["predictable"]]
    lines.append(_fault_row("all predictable", predictable))
    elsewhere = [report["elsewhere"]["bad_weighted"] for report in reports]
    sums = [sum(each[fleet] for each in elsewhere) for fleet in ("reactive", "foreshard")]
    lines.append(f"| outside of faults | {sums[0]:.0f} | {sums[1]:.0f} | | | |")
    false = sum(report["false_evacuations"] for report in reports)
    return "\n".join(lines) + f"\n\n{len(reports)} seeds, {false} false evacuations.\n\n"


def _fault_row(name: str, rows: list[dict[str, Any]]) -> str:
    sums = [sum(row["bad_weighted"][fleet] for row in rows) for fleet in ("reactive", "foreshard")]
    leads = [row["lead_time_s"] for row in rows if row["lead_time_s"] is not None]
    early = sum(lead > 0 for lead in leads)
    ratio = f"{sums[1] / sums[0]:.3f}" if sums[0] else "-"
    lead = f"{statistics.median(leads):.1f} ({min(leads):.1f})" if leads else "-"
    return (
        f"| {name} | {sums[0]:.0f} | {sums[1]:.0f} | {ratio} | {lead} | {early} of {len(rows)} |"
    )


def _quiet_table(reports: list[tuple[str, dict[str, Any]]]) -> str:
    lines = [
        "| quiet story | reactive | foreshard | harm added, of weighted demand |",
        "|---|---|---|---|",
    ]
    for name, report in reports:
        fleets = report["fleets"]
        ratios = [fleets[fleet]["bad_weighted_ratio"] for fleet in ("reactive", "foreshard")]
        cells = " | ".join(f"{ratio:.3%}" for ratio in ratios)
        lines.append(f"| {name} | {cells} | {ratios[1] - ratios[0]:+.3%} |")
    return "\n".join(lines) + "\n\n"


def _cost_table(reports: list[dict[str, Any]]) -> str:
    worst = {
        "tick p99, ms": max(r["engine"]["tick_ms_p99"] for r in reports),
        "push to ACK p99, ms": max(r["engine"]["push_to_ack_ms_p99"] or 0.0 for r in reports),
        "memory of Foreshard, MB": max(r["engine"]["rss_mb"] for r in reports),
        "load generator late, p99, ms": max(r["loadgen_lateness_ms_p99"] for r in reports),
    }
    lines = ["| worst of all runs | |", "|---|---|"]
    return (
        "\n".join([*lines, *(f"| {what} | {value:.1f} |" for what, value in worst.items())]) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
