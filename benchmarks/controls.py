"""This module is the negative controls: what nobody can foresee must not be foreseen.

    make bench-controls DATA=../shared/data

Onsets of incidents as experts marked them, and of faults that a harness injects: a model that
scores above chance there has seen what it may not see. Every registered learner is walked through
both; exit status 1 where the 90 % interval of the area under precision and recall lies above the
prevalence as a whole. Specs are copied first: their logs of scorings are for people's own runs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import duckdb

from foreshard.app.backtesting import Order, run
from foreshard.app.learning import learner_names
from foreshard.lab.backtest.score import Score
from foreshard.model.errors import LabError

YEAR_S = 365 * 86400
SPECS = Path(__file__).parents[1] / "examples" / "backtest"
CONTROLS = {"incidents": "smd.parquet", "injected": "nezha.parquet"}


def main() -> int:
    """Run what is asked for; print a table as Markdown."""
    options = _options()
    names = tuple(options.model or learner_names())
    sys.stdout.write("| control | model | horizon, s | prevalence | PR-AUC, 90 % | ROC |\n")
    sys.stdout.write("|---" * 6 + "|\n")
    leaks: list[str] = []
    for control in options.control or CONTROLS:
        with TemporaryDirectory() as place:
            spec = Path(shutil.copy(SPECS / f"{control}.yaml", place))
            table = Path(place) / CONTROLS[control]
            _copy(options.data / CONTROLS[control], table)
            told: set[str] = set()
            for name in names:
                try:
                    outcome = run(_order(spec, table, name), tell=lambda _model, _done: None)
                except LabError as error:
                    # A record may be too short for one learner and long enough for another.
                    sys.stdout.write(f"| {control} | {name} | {error} | | | |\n")
                    continue
                # Headroom, a straight line and chance stand beside every model.
                scores = [s for of in outcome.scores for s in of if s.model not in told]
                told |= {score.model for score in scores}
                sys.stdout.writelines(_rows(control, scores))
                sys.stdout.flush()
                leaks += _leaks(control, scores)
    sys.stdout.writelines(f"\nLOOK FOR THE LEAK: {line}" for line in leaks)
    return 1 if leaks else 0


def _order(spec: Path, table: Path, model: str) -> Order:
    return Order(
        spec=spec,
        data=table,
        prometheus="",
        models=(model,),
        json=None,
        forecasts=None,
        html=None,
        command="benchmarks/controls.py",
    )


def _copy(source: Path, target: Path) -> None:
    """The table without entities whose clock is years ahead of the others'."""
    rows = duckdb.read_parquet(str(source))
    newest = rows.aggregate("entity, max(ts) as newest", "entity").fetchall()
    latest_s = median(at_s for _, at_s in newest) + YEAR_S
    rows.filter(duckdb.ColumnExpression("ts") <= latest_s).write_parquet(str(target))


def _rows(control: str, scores: Sequence[Score]) -> Iterator[str]:
    for score in scores:
        low, high = score.pr_auc_interval
        yield (
            f"| {control} | {score.model} | {score.horizon_s:g} | {score.prevalence:.4f} | "
            f"{score.pr_auc:.4f} [{low:.4f}, {high:.4f}] | {score.roc_auc:.3f} |\n"
        )


def _leaks(control: str, scores: Sequence[Score]) -> Iterator[str]:
    for score in scores:
        low = score.pr_auc_interval[0]
        if low > score.prevalence:
            yield (
                f"{control}, {score.model} at {score.horizon_s:g} s: PR-AUC {score.pr_auc:.4f}"
                f", at least {low:.4f}, prevalence {score.prevalence:.4f}"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Negative controls.")
    parser.add_argument("--data", type=Path, required=True, help="where the tables are")
    parser.add_argument("--control", action="append", choices=sorted(CONTROLS))
    parser.add_argument("--model", action="append", help="a learner; all of them by default")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
