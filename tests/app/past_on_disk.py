"""A metric history on the disk, and a learner that is installed, for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from foreshard.adapters.store import segment
from foreshard.app.places import history_dir
from foreshard.config import Settings, load
from foreshard.forecast.history import History
from tests.architecture.source import ROOT

__all__ = ["install_student", "keep", "settings_in"]


def settings_in(directory: Path, *, cells: int = 8, **more: Any) -> Settings:  # noqa: ANN401
    """The example's configuration for the fleet of `drifting`."""
    values = yaml.safe_load((ROOT / "examples" / "foreshard.yaml").read_text(encoding="utf-8"))
    values["cells"] = [
        {
            "name": f"cell-{c}",
            "region": "eu",
            "zone": f"eu-{c}",
            "nodes": [f"127.0.0.1:{9000 + c}"],
        }
        for c in range(cells)
    ]
    for each in values["classes"]:
        each.pop("regions", None)
        each.pop("replicas", None)
        each.pop("handover", None)
    values.pop("latency_ms", None)
    values["data_dir"] = str(directory / "data")
    values["forecast"] = {"model": "student", "horizons_s": [900.0, 3600.0]}
    values["history"] = {"step_s": 300.0}
    for key, value in more.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    path = directory / "foreshard.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load(path)


def keep(history: History, settings: Settings, *, per_file: int = 288) -> None:
    """Write a history as an engine would have kept it."""
    times = history.time_s()
    for first in range(0, history.samples, per_file):
        part = history.between(first, min(first + per_file, history.samples))
        c, _, t = part.value.shape
        segment.write(
            history_dir(settings),
            segment.Rows(
                step_s=history.step_s,
                cells=history.cells,
                cell=np.repeat(np.arange(c), t),
                time_s=np.tile(times[first : first + t], c),
                gauges={n: part.value[:, g].ravel() for g, n in enumerate(history.gauges)},
                scales_with_load=frozenset(
                    n for n, s in zip(history.gauges, history.scales_with_load, strict=True) if s
                ),
                load=part.load.ravel(),
                up_s=part.up_s.ravel(),
                censored=part.censored.ravel(),
            ),
        )


def install_student(directory: Path) -> Path:
    """Register the small learner of `tests.forecast.student`, for whoever has this on its path."""
    site = directory / "site"
    info = site / "student-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: student\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[foreshard.learners]\nstudent = tests.forecast.student:Student\n"
    )
    return site
