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
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import duckdb

from foreshard.app.backtesting import Order, run
from foreshard.app.learning import learner_names
from foreshard.lab.backtest.trial import Outcome

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
            order = Order(
                spec=spec,
                data=table,
                prometheus="",
                models=names,
                json=None,
                forecasts=None,
                html=None,
                command="benchmarks/controls.py",
            )
            outcome = run(order, tell=lambda _model, _done: None)
        sys.stdout.writelines(_rows(control, outcome))
        sys.stdout.flush()
        leaks += _leaks(control, outcome)
    sys.stdout.writelines(f"\nLOOK FOR THE LEAK: {line}" for line in leaks)
    return 1 if leaks else 0


def _copy(source: Path, target: Path) -> None:
    """The table without entities whose clock is years ahead of the others'."""
    rows = duckdb.read_parquet(str(source))
    newest = rows.aggregate("entity, max(ts) as newest", "entity").fetchall()
    latest_s = median(at_s for _, at_s in newest) + YEAR_S
    rows.filter(duckdb.ColumnExpression("ts") <= latest_s).write_parquet(str(target))


def _rows(control: str, outcome: Outcome) -> Iterator[str]:
    for of_model in outcome.scores:
        for score in of_model:
            low, high = score.pr_auc_interval
            yield (
                f"| {control} | {score.model} | {score.horizon_s:g} | {score.prevalence:.4f} | "
                f"{score.pr_auc:.4f} [{low:.4f}, {high:.4f}] | {score.roc_auc:.3f} |\n"
            )


def _leaks(control: str, outcome: Outcome) -> Iterator[str]:
    for of_model in outcome.scores:
        for score in of_model:
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
