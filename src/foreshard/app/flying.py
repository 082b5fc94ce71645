"""This module is Foreshard with a trained model, on trial: the parts of production, on the stage.

What its fleet learned at school is handed over as a data directory: the metric history of the days
before, and the champion. From then on everything is what `foreshard run` starts: the engine keeps
steps in that history (`Chronicle`), the worker reads them and speaks when a step is over (`Seer`,
with its watch over the model's word), the engine reads what it said (`FileAdviser`) and blends it
with the trend of the last seconds. Only the clock is the stage's.

Where nothing was learned, or what was learned did not win its contest, forecasts are those of the
trend alone, as in production, and the run's log says why. Who is tried alone flies without a
contest, as after `foreshard models promote`.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import structlog

from foreshard.adapters.clock import InlineExecutor
from foreshard.adapters.store.segments import Keep, SegmentFiles
from foreshard.adapters.store.shelf import Shelf
from foreshard.app.advising import FileAdviser
from foreshard.app.foreseeing import Seer
from foreshard.app.places import history_dir, models_dir
from foreshard.app.schooling import Report, School, attend, seed_beside, settings_at_school
from foreshard.app.steering import loop_of
from foreshard.app.trying import settings_for, world_on
from foreshard.config import Settings
from foreshard.controller.chronicle import Chronicle
from foreshard.controller.foresight import Adviser
from foreshard.forecast.outlook import Outlook
from foreshard.forecast.step import Gathering
from foreshard.lab.policy.policy import Stage
from foreshard.lab.run import START_S, Core
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.school.curriculum import Term
from foreshard.ports import Clock, MetricLog, StepTable

__all__ = ["SPEAKING_S", "Attended", "Schooled"]

log = structlog.get_logger(__name__)

# From a step's being kept to an outlook's being read: measured with the ensemble, its reasons and
# files included, 0.13 s of cpu for 6 cells; more cells and a busy machine make it longer.
SPEAKING_S = 0.5
# As the worker's process does with steps of a minute.
LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """A school that a fleet went to.

    Attributes:
        directory: Its data directory.
        report: What came of it.
    """

    directory: Path
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Schooled:
    """A `Policy` that is Foreshard flying what its fleet learned at school.

    Attributes:
        name: As on the command line.
        learner: Whose model flies.
        is_contested: Whether a model must have won its contest to fly.
        term: How long school lasts; None = by the size of the fleet.
        attended: The school; None = it went to none, and flies on the trend.
    """

    name: str
    learner: str
    is_contested: bool = True
    term: Term | None = None
    attended: Attended | None = None

    def after_school(
        self,
        scenario: Scenario,
        *,
        folder: Path,
        seed: int,
        core: Core,
    ) -> Schooled:
        """The same, once the fleet of a scenario went to school.

        Args:
            scenario: Whose fleet.
            folder: Where runs of this edition are kept.
            seed: Of the trial.
            core: What plays the trial.

        Raises:
            LabError: The school cannot be played or kept.
        """
        school = School(scenario=scenario, folder=folder, seed=seed_beside(seed), term=self.term)
        report = attend(school, self.learner, core=core)
        return replace(self, attended=Attended(directory=school.directory, report=report))

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        """Steer until `stop` is set."""
        pace = stage.scenario.pace
        with TemporaryDirectory(prefix="foreshard-lab-") as scratch:
            settings = settings_for(stage.scenario, forecast=self.learner)
            kept = settings_at_school(stage.scenario, self.learner, Path(scratch))
            self._hand_over(kept)
            world = replace(world_on(stage), chronicle=_chronicle(settings, kept, pace))
            adviser = _Hastened(FileAdviser(kept), pace)
            loop = loop_of(settings, world, stage.executor, adviser=adviser)
            speaking = asyncio.create_task(_speak(Seer(kept), stage.clock, pace))
            try:
                await loop.run(stop)
            finally:
                speaking.cancel()
                await asyncio.gather(speaking, return_exceptions=True)

    def _hand_over(self, settings: Settings) -> None:
        """Give this run the memory and the champion of school; say aloud where there is none."""
        report = self.attended.report if self.attended else None
        model = report.model if report and (report.wins or not self.is_contested) else ""
        if not model:
            log.error(
                "school.failed",
                learner=self.learner,
                because=report.because if report else "it went to no school",
                effect="forecasts are those of trend alone",
            )
        if self.attended is None:
            return
        school = settings.model_copy(update={"data_dir": self.attended.directory})
        for place in (history_dir, models_dir):
            if place(school).is_dir():
                shutil.copytree(place(school), place(settings))
        if model:
            Shelf(models_dir(settings), self.learner).promote(model, at_s=START_S)
            log.info("school.attended", model=model, contest=self.attended.report.because)


class _Stretched:
    """A `MetricLog` that keeps the steps of a fast fleet in production's time."""

    def __init__(self, inner: MetricLog, pace: float) -> None:
        self._inner = inner
        self._pace = pace

    def publish(self, step: StepTable) -> None:
        """See `MetricLog.publish`."""
        pace = self._pace
        self._inner.publish(
            replace(
                step,
                ends_s=step.ends_s * pace,
                step_s=step.step_s * pace,
                up_s=step.up_s * np.float32(pace),
            )
        )


class _Hastened:
    """An `Adviser` that tells a fast fleet in its own time what a model says in production's."""

    def __init__(self, inner: Adviser, pace: float) -> None:
        self._inner = inner
        self._pace = pace

    def newest(self) -> Outlook | None:
        """See `Adviser.newest`."""
        said, pace = self._inner.newest(), self._pace
        if said is None or pace == 1.0:
            return said
        return replace(
            said,
            made_at_s=said.made_at_s / pace,
            step_s=said.step_s / pace,
            horizons_s=tuple(horizon_s / pace for horizon_s in said.horizons_s),
        )


def _chronicle(settings: Settings, kept: Settings, pace: float) -> Chronicle:
    """What keeps the steps of the trial behind those of school."""
    history = kept.history
    keep = Keep(for_s=history.keep_s, most_bytes=round(history.most_mb * 1e6))
    gathering = Gathering(
        settings.request_classes(), step_s=settings.history.step_s, cells=settings.fleet().names
    )
    files = _Stretched(SegmentFiles(history_dir(kept), keep), pace)
    return Chronicle(gathering, files, InlineExecutor())


async def _speak(seer: Seer, clock: Clock, pace: float) -> None:
    """Look as often as the worker's process does, and be as late as it is."""
    while True:
        await clock.sleep(SPEAKING_S / pace)
        seer.look(now_s=clock.now_s() * pace)
        await clock.sleep(LOOK_S / pace)
