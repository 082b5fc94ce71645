"""This module is `foreshard train`: a record, a new model, a contest, and perhaps a new champion.

It runs in a process of its own, never the engine's. What was interrupted goes on where it was: a
fitted model is kept until its run has ended, and a run that begins within a day of one that was
cut off takes the same record.
"""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from foreshard import __version__
from foreshard.adapters.store.parcel import Parcel, publish, read_parcel, write_parcel
from foreshard.adapters.store.shelf import Shelf
from foreshard.app.learning import learner_named
from foreshard.app.places import models_dir
from foreshard.app.remembering import Record, rule_of
from foreshard.app.room import offer_to_be_ended
from foreshard.app.shelving import flying, packed, restored
from foreshard.config import Settings
from foreshard.config.patience import NEED_NO_TRAINING, SHIPPED
from foreshard.forecast.card import Card, ranges_of
from foreshard.forecast.contest import Verdict
from foreshard.forecast.history import History
from foreshard.forecast.learner import Progress, RiskModel, Snapshot
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.forecast.refit import Flying, Task, complete, fit, judge
from foreshard.model.errors import ConfigError, ForecastError, StoreError

__all__ = [
    "Trained",
    "altered",
    "begun_at_s",
    "bound_memory",
    "learner_of",
    "task_of",
    "train",
    "within_limits",
]

log = structlog.get_logger(__name__)

# A run that was cut off longer ago than this is of another day: it begins anew.
RESUMED_WITHIN_S = 86_400.0
UNDER_WAY = "under-way.json"
# What the program itself takes, before any record: interpreter, numerics, compiled kernels.
OWN_MB = 700.0
LEAST_MB = 100.0
PACKAGES = ("numpy", "lightgbm", "jax", "prophet")

Stage = Callable[[str], Progress]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of it.

    Attributes:
        name: Id of the new model.
        promoted: It flies from now on.
        card: Its card.
    """

    name: str
    promoted: bool
    card: Card


def learner_of(settings: Settings) -> str:
    """The learner whose models a configuration flies; the shipped one where it flies none."""
    model = settings.forecast.model
    return SHIPPED if model in NEED_NO_TRAINING else model


def altered(
    settings: Settings, *, seed: int | None = None, memory_mb: float | None = None
) -> Settings:
    """A configuration that trains otherwise.

    Args:
        settings: The configuration.
        seed: In place of its own; None = that.
        memory_mb: In place of its own; None = that.
    """
    wanted = {"seed": seed, "memory_mb": memory_mb}
    update = {key: value for key, value in wanted.items() if value is not None}
    return settings.model_copy(update={"training": settings.training.model_copy(update=update)})


def task_of(settings: Settings) -> Task:
    """What a configuration wants to be learned."""
    training = settings.training
    return Task(
        rule=rule_of(settings),
        horizons_s=tuple(settings.forecast.horizons_s),
        seed=training.seed,
        held_out_s=training.held_out_s,
    )


def within_limits(settings: Settings, *, left: float | None) -> Settings:
    """A configuration whose training takes no more memory than there is left.

    Args:
        settings: The configuration.
        left: Megabytes that the limits on this process leave (see `room`); None = no limit.

    Raises:
        ForecastError: That is not enough to begin.
    """
    if left is None or settings.training.memory_mb + OWN_MB <= left:
        return settings
    most_mb = left - OWN_MB
    if most_mb < LEAST_MB:
        raise ForecastError(
            f"training: the limit on this process leaves {left:.0f} MB, at least "
            f"{LEAST_MB + OWN_MB:.0f} are needed; raise it (MemoryMax, limits.memory), or train "
            "elsewhere on a copy of the data directory"
        )
    return altered(settings, memory_mb=most_mb)


def bound_memory(most_mb: float) -> None:
    """Bound the memory of this process from now on; what asks for more fails, not the machine."""
    offer_to_be_ended()
    most = int((most_mb + OWN_MB) * 1e6)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def begun_at_s(settings: Settings, learner: str, *, now_s: float) -> float:
    """Until when the record of a run reaches: that of a run that was cut off, or now."""
    path = models_dir(settings) / learner / UNDER_WAY
    try:
        begun_s = float(json.loads(path.read_text(encoding="utf-8"))["until_s"])
    except (OSError, ValueError, TypeError, KeyError):
        return now_s
    return begun_s if 0.0 <= now_s - begun_s <= RESUMED_WITHIN_S else now_s


def train(
    settings: Settings,
    name: str,
    record: Record,
    *,
    now_s: float,
    stage: Stage,
    until_s: float | None = None,
    rule: BreachRule | None = None,
) -> Trained:
    """Train one model, and let it fly if it is better than what does.

    Args:
        settings: Of the Foreshard it is for.
        name: Of the learner.
        record: To learn from.
        now_s: Seconds since the epoch.
        stage: Told what begins; what it returns is told how far that is.
        until_s: End of the record, to be taken again by a run that goes on.
        rule: What a failure is; None = what the configuration says.

    Raises:
        ConfigError: There is no such learner.
        ForecastError: It cannot be learned from, or not within the memory.
        StoreError: The model cannot be kept.
    """
    learner, task = learner_named(name), task_of(settings)
    task = task if rule is None else replace(task, rule=rule)
    history, shelf = record.history, Shelf(models_dir(settings), name)
    work = _Work(models_dir(settings) / name, _key(history, name, task))
    work.begin(until_s if until_s is not None else now_s)
    champion = _champion(settings, name)
    try:
        told = stage(f"{name}: learning from {_span(history)}")
        kept = work.taken(name, "contest")
        model, first = kept or fit(history, learner, task, champion=champion, progress=told)
        work.keep("contest", model, first)
        told(1.0)
        stage(f"{name}: standing against {champion.name if champion else 'no model'}")
        verdict = judge(history, model, task, first=first, champion=champion)
        if verdict.promotes:
            told = stage(f"{name}: learning the newest {_span(history, first)}")
            kept = work.taken(name, "whole")
            model, first = kept or (
                complete(history, learner, task, progress=told),
                history.samples,
            )
            work.keep("whole", model, first)
    except MemoryError as error:
        raise ForecastError(
            f"{name}: needs more than {settings.training.memory_mb:g} MB for {_span(history)}; "
            "allow more, or a shorter record (training.memory_mb, training.reach_s)"
        ) from error
    card = _card(name, record, task, (first, now_s), verdict)
    made = shelf.keep(packed(model, card), at_s=now_s)
    if verdict.promotes:
        shelf.promote(made, at_s=now_s)
    shelf.drop_old()
    work.end()
    return Trained(name=made, promoted=verdict.promotes, card=card)


@dataclass(slots=True)
class _Work:
    """What a run that is cut off leaves for the next."""

    directory: Path
    key: str

    def begin(self, until_s: float) -> None:
        note = json.dumps({"until_s": until_s, "key": self.key}).encode()
        publish(self.directory / UNDER_WAY, note, what="models")

    def keep(self, part: str, model: RiskModel, first: int) -> None:
        snapshot = model.snapshot()
        head = {
            "key": self.key,
            "first": first,
            "kind": snapshot.kind,
            "settings": dict(snapshot.settings),
        }
        parcel = Parcel(kind="part", head=head, arrays=snapshot.arrays, texts=snapshot.texts)
        write_parcel(self._path(part), parcel)

    def taken(self, learner: str, part: str) -> tuple[RiskModel, int] | None:
        """What an interrupted run had made of the same record, if it got so far."""
        if not self._path(part).exists():
            return None
        try:
            parcel = read_parcel(self._path(part), "part")
            if parcel.head["key"] != self.key:
                return None
            snapshot = Snapshot(
                kind=parcel.head["kind"],
                settings=parcel.head["settings"],
                arrays=parcel.arrays,
                texts=parcel.texts,
            )
            model = restored(learner, snapshot)
        except (StoreError, ForecastError, KeyError) as error:
            log.warning("training.begun_anew", part=part, error=str(error))
            return None
        log.info("training.resumed", part=part)
        return model, int(parcel.head["first"])

    def end(self) -> None:
        for path in (self._path("contest"), self._path("whole"), self.directory / UNDER_WAY):
            path.unlink(missing_ok=True)

    def _path(self, part: str) -> Path:
        return self.directory / f"{part}.part-of-training"


def _champion(settings: Settings, name: str) -> Flying | None:
    try:
        found = flying(models_dir(settings), name)
    except (StoreError, ForecastError, ConfigError) as error:
        log.warning("training.champion_refused", error=str(error), effect="a new one may follow")
        return None
    return None if found is None else found[0]


def _key(history: History, name: str, task: Task) -> str:
    """The same for the same record, learner, task and programs."""
    told = json.dumps(
        [
            name,
            repr(task),
            _versions(),
            list(history.cells),
            list(history.gauges),
            history.begins_s,
            history.step_s,
            history.samples,
            [
                0 if part is None else _checksum(part)
                for part in (history.value, history.load, history.censored, history.weight)
            ],
        ]
    )
    return hashlib.sha256(told.encode()).hexdigest()


def _checksum(array: NDArray[np.generic]) -> int:
    """Cell by cell: a copy of the whole may be a gigabyte."""
    checksum = 0
    for row in array:
        checksum = zlib.crc32(np.ascontiguousarray(row).data, checksum)
    return checksum


def _card(
    name: str, record: Record, task: Task, made: tuple[int, float], verdict: Verdict
) -> Card:
    history, (first, now_s) = record.history, made
    learned = history.until(first)
    return Card(
        learner=name,
        trained_at_s=now_s,
        begins_s=history.begins_s,
        learned_until_s=learned.begins_s + (first - 1) * history.step_s,
        ends_s=history.begins_s + (history.samples - 1) * history.step_s,
        step_s=history.step_s,
        cells=len(history.cells),
        gauges=history.gauges,
        onsets=len(find_onsets(learned, task.rule)),
        rule=task.rule,
        horizons_s=task.horizons_s,
        seed=task.seed,
        versions=_versions(),
        portion=record.portion,
        because=verdict.because,
        scores={
            each: {f"{h:g}": score.values() for h, score in by_horizon.items()}
            for each, by_horizon in verdict.scores.items()
        },
        ranges=ranges_of(learned),
    )


def _versions() -> Mapping[str, str]:
    found = {"foreshard": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _span(history: History, first: int = 0) -> str:
    hours = (history.samples - first) * history.step_s / 3_600.0
    length = f"{hours / 24.0:.1f} days" if hours >= 48.0 else f"{hours:.1f} h"
    return f"{length} of {len(history.cells)} cells"
