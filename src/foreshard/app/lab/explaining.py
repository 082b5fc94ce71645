"""This module is one run explained: in words, and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foreshard.app.lab.running import opened
from foreshard.config.scenario import read_scenario
from foreshard.lab.trial.chronicle import told
from foreshard.lab.trial.page import page_of
from foreshard.model.errors import LabError

__all__ = ["Which", "explained", "page_from", "paged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which run of a file.

    Attributes:
        scenario, policy: Names; "" = the first, Foreshard before others.
        seed: None = the first.
    """

    scenario: str = ""
    policy: str = ""
    seed: int | None = None


def explained(path: Path, which: Which) -> str:
    """A run in words.

    Raises:
        LabError: It is no file of runs, or holds no such run.
    """
    return told(_chosen(opened(path), which))


def paged(path: Path, which: Which, output: Path) -> None:
    """Write the page of a run.

    Raises:
        LabError: It is no file of runs, holds no such run, or the page cannot be written.
    """
    page_from(opened(path), which, output)


def page_from(values: Mapping[str, Any], which: Which, output: Path) -> None:
    """Write the page of a run.

    Args:
        values: From `running.run_file`, or `opened`.
        which: Of its runs.
        output: Where it goes.

    Raises:
        LabError: There is no such run, or the page cannot be written.
    """
    own = _chosen(values, which)
    others = [
        tale
        for tale in values["runs"]
        if tale is not own and (tale["scenario"], tale["seed"]) == (own["scenario"], own["seed"])
    ]
    text = values["scenarios"][own["scenario"]]
    about = read_scenario(text, name=own["scenario"]).about
    try:
        output.write_text(page_of(own, others, about=about), encoding="utf-8")
    except OSError as error:
        raise LabError(f"page {output} cannot be written: {error}") from error


def _chosen(values: Mapping[str, Any], which: Which) -> Mapping[str, Any]:
    fits = [
        tale
        for tale in values["runs"]
        if which.scenario in ("", tale["scenario"])
        and which.policy in ("", tale["policy"])
        and which.seed in (None, tale["seed"])
    ]
    if not fits:
        there = sorted({f"{t['scenario']}/{t['policy']}/{t['seed']}" for t in values["runs"]})
        raise LabError(f"runs: no such run among them; there are {', '.join(there[:12])}")
    own: Mapping[str, Any] = min(fits, key=lambda tale: tale["policy"] != "foreshard")
    return own
