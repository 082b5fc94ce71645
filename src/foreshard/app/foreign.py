"""This module is telemetry that others kept, as a record that our models learn from.

The spec of a backtest says where everything stands in it, what its limits are and what a failure
is. A model learned from it flies where gauges and steps are the same; where they are not, the
model refuses the fleet, and the engine says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from foreshard.app.backtesting import archive_of
from foreshard.app.remembering import Record, portion_of
from foreshard.config import Settings
from foreshard.config.backtest import load_backtest
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule
from foreshard.lab.backtest.record import asked, lay
from foreshard.model.errors import ConfigError

__all__ = ["foreign_record"]


def foreign_record(
    settings: Settings, spec: Path, *, data: Path | None, prometheus: str
) -> tuple[Record, BreachRule]:
    """A record that others kept, within the memory that training may take, and what failures are.

    Args:
        settings: Of the Foreshard that the model is for.
        spec: See `foreshard backtest`.
        data: A Parquet or CSV file; None = a Prometheus is asked.
        prometheus: Its URL; "" = the file is read.

    Raises:
        ConfigError: The spec is wrong, or neither or both sources are named.
        SourceError: The data cannot be read.
        LabError: There is too little in them.
        ForecastError: Not even two cells fit into the memory.
    """
    if (data is None) == (not prometheus):
        raise ConfigError(
            "train: with --spec give --data FILE or --prometheus URL, one of the two"
        )
    backtest = load_backtest(spec)
    outline = backtest.noun(from_prometheus=data is None)
    read = archive_of(backtest, data, prometheus).read(asked(outline.reading))
    return _fitting(lay(read, outline).history, settings), outline.rule


def _fitting(history: History, settings: Settings) -> Record:
    steps = settings.model_copy(
        update={"history": settings.history.model_copy(update={"step_s": history.step_s})}
    )
    portion = portion_of(
        history.begins_s,
        history.begins_s + history.samples * history.step_s,
        cells=len(history.cells),
        gauges=len(history.gauges),
        settings=steps,
    )
    if not portion.because:
        return Record(history=history, portion="")
    first = round((portion.begins_s - history.begins_s) / history.step_s)
    kept = history.between(max(first, 0), history.samples)
    order = np.random.default_rng(settings.training.seed).permutation(len(history.cells))
    return Record(
        history=_of_cells(kept, np.sort(order[: portion.cells])), portion=portion.because
    )


def _of_cells(history: History, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> History:
    return replace(
        history,
        cells=tuple(history.cells[i] for i in rows.tolist()),
        value=history.value[rows],
        counts=history.counts[rows],
        load=history.load[rows],
        sibling=history.sibling[rows],
        censored=history.censored[rows],
        up_s=history.up_s[rows],
        declared=None if history.declared is None else history.declared[rows],
    )
