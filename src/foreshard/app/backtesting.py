"""This module is `foreshard backtest`: data, models and judgement put together, files written."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import time

import numpy as np

from foreshard import __version__
from foreshard.adapters.archive.forecasts import ForecastRows, write_forecasts
from foreshard.adapters.archive.prometheus import PrometheusArchive, Span
from foreshard.adapters.archive.table import TableArchive
from foreshard.app.learning import learner_named, learner_names
from foreshard.config.backtest import BacktestSettings, load_backtest
from foreshard.lab.backtest.document import document_of, scoring_of
from foreshard.lab.backtest.page import page_of
from foreshard.lab.backtest.record import asked, lay
from foreshard.lab.backtest.trial import Outcome, Tell, put_on_trial
from foreshard.model.errors import ConfigError
from foreshard.ports import Archive

__all__ = ["Order", "archive_of", "log_beside", "run"]

# What is used today, always beside the model on trial; chance is added by the trial itself.
BESIDE = ("headroom", "predict-linear")
# The first that is installed is on trial when none is named.
SHIPPED = ("ensemble", "hazard", "trend")
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of the command.

    Attributes:
        spec: What is forecast and how it is judged.
        data: A table; None = a Prometheus is asked.
        prometheus: Its URL; "" = the table is read.
        models: Names, the one on trial first; none = the shipped default.
        json, forecasts, html: Where results go; None = nowhere.
        command: As it was typed, for the log and the page.
    """

    spec: Path
    data: Path | None
    prometheus: str
    models: tuple[str, ...]
    json: Path | None
    forecasts: Path | None
    html: Path | None
    command: str


def run(order: Order, *, tell: Tell) -> Outcome:
    """Run a backtest and write what was asked for.

    Raises:
        ConfigError: The order or the spec is wrong.
        SourceError: The data cannot be read.
        LabError: There is nothing to judge by.
    """
    settings = load_backtest(order.spec)
    if (order.data is None) == (not order.prometheus):
        raise ConfigError("backtest: give --data FILE or --prometheus URL, one of the two")
    outline = settings.noun(from_prometheus=order.data is None)
    names = _models(order.models)
    learners = [learner_named(name) for name in names]
    # Before the work, not after it: nothing is scored that cannot be logged.
    log = log_beside(order.spec)
    _refuse_log(log)
    archive = archive_of(settings, order.data, order.prometheus)
    record = lay(archive.read(asked(outline.reading)), outline)
    outcome = put_on_trial(record, outline, learners, tell=tell)
    _write_log(log, order, outcome)
    if order.json is not None:
        values = document_of(outcome, version=__version__)
        _write(order.json, json.dumps(values, indent=1, allow_nan=False) + "\n")
    if order.forecasts is not None:
        of = max(len(order.models), 1)
        write_forecasts(
            order.forecasts,
            record.history.cells,
            _rows(outcome, names[:of]),
            with_model=of > 1,
        )
    if order.html is not None:
        page = page_of(outcome, command=order.command, version=__version__)
        _write(order.html, page)
    return outcome


def log_beside(spec: Path) -> Path:
    """The file beside a spec in which every scoring is kept, one JSON value a line."""
    return spec.with_name(f"{spec.stem}.scorings.jsonl")


def _models(wanted: Sequence[str]) -> tuple[str, ...]:
    """The models on trial, then those that always stand beside."""
    there = learner_names()
    own = list(wanted) or [next(name for name in SHIPPED if name in there)]
    return tuple(dict.fromkeys([*own, *BESIDE]))


def archive_of(settings: BacktestSettings, data: Path | None, prometheus: str) -> Archive:
    """Where the data of a spec lie.

    Args:
        settings: The spec.
        data: A table; None = a Prometheus is asked.
        prometheus: Its URL.
    """
    if data is not None:
        return TableArchive(data)
    step_s = settings.step_s
    until_s = time() if settings.range.until is None else settings.range.until
    # Whole steps since the epoch: the same moments are asked for again tomorrow.
    ends_s = math.floor(until_s / step_s) * step_s
    begins_s = ends_s - math.floor(settings.range.days * 86_400.0 / step_s) * step_s
    return PrometheusArchive(prometheus, Span(begins_s=begins_s, ends_s=ends_s, step_s=step_s))


def _rows(outcome: Outcome, models: Sequence[str]) -> list[ForecastRows]:
    """Forecasts of the scored part: at samples at which something could be foreseen."""
    record, history = outcome.record, outcome.record.history
    now = np.arange(history.samples)[None]
    within = (now >= record.starts[:, None]) & (now <= record.last[:, None])
    cell, at = np.nonzero(outcome.onsets.scored & within)
    time_s = history.time_s()[at]
    return [
        ForecastRows(
            model=walked.name,
            horizon_s=horizon_s,
            entity=cell,
            time_s=time_s,
            p=walked.p[h, cell, at - walked.origin],
        )
        for walked in outcome.walks
        if walked.name in models
        for h, horizon_s in enumerate(outcome.outline.horizons_s)
    ]


def _refuse_log(log: Path) -> None:
    try:
        with log.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise ConfigError(
            f"{log} cannot be written ({error.strerror}): every scoring is logged beside its "
            "spec; copy the spec to a folder that you may write to"
        ) from error


def _write_log(log: Path, order: Order, outcome: Outcome) -> None:
    """One line for each look at a scored part: many looks make any figure look good."""
    history = outcome.record.history
    line = {
        "at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "command": order.command,
        "spec_sha256": _digest(order.spec),
        "data_sha256": None if order.data is None or order.data.is_dir() else _digest(order.data),
        "scored_from_s": history.begins_s + history.step_s * float(outcome.record.starts.min()),
        "scored_to_s": history.begins_s + history.step_s * (history.samples - 1),
        "onsets": outcome.scored_onsets,
        "models": scoring_of(outcome),
    }
    _write(log, json.dumps(line) + "\n", mode="a")


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _write(path: Path, text: str, *, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
