"""This module is the scoreboard: the matrix played, compared and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import Any

from foreshard.app.lab.cast import policy_names
from foreshard.app.lab.live import play_live
from foreshard.app.lab.matrix import SIM, Matrix
from foreshard.app.lab.playing import play
from foreshard.app.trying import ABLATIONS
from foreshard.lab.trial.claim import claims_on
from foreshard.lab.trial.comparison import FORESHARD, ORACLE, compared
from foreshard.lab.trial.runner import Ended, missing, played
from foreshard.model.errors import LabError

__all__ = ["BOARD_FORMAT", "ablated", "board_of", "fill", "written", "written_text"]

# Of the JSON; a reader of another one would read nonsense.
BOARD_FORMAT = 1
UNFORESEEN = "foreshard-none"
# Whom the ablations are held against; sticky tells what moving itself did.
WHOLE = ("sticky", UNFORESEEN, FORESHARD, ORACLE)


def fill(
    matrix: Matrix, *, jobs: int, begin: Callable[[int], None], tell: Callable[[Ended], None]
) -> tuple[Ended, ...]:
    """Play what is missing of a matrix.

    Args:
        matrix: What is wanted.
        jobs: Processes; real ones are played one after the other.
        begin: Told how many runs there are to play.
        tell: Told of each that ends.

    Returns:
        Those that failed.
    """
    tasks = missing(matrix.tasks())
    begin(len(tasks))
    failed = []
    is_simulated = matrix.stage == SIM
    player = play if is_simulated else play_live
    for ended in played(tasks, player, jobs=jobs if is_simulated else 1):
        tell(ended)
        if ended.because:
            failed.append(ended)
    return tuple(failed)


def ablated(matrix: Matrix, seeds: tuple[int, ...]) -> Matrix:
    """The same scenarios under Foreshard, whole and without one strength at a time.

    Args:
        matrix: Whose scenarios.
        seeds: Of each; fewer than the matrix has, for the harm of a strength that is missing is
            large or of no interest.
    """
    return replace(matrix, policies=policy_names((*WHOLE, *ABLATIONS)), seeds=seeds)


def board_of(
    matrix: Matrix,
    *,
    command: str,
    failed: tuple[Ended, ...] = (),
    ablations: Matrix | None = None,
) -> dict[str, Any]:
    """The scoreboard as JSON values.

    Args:
        matrix: Played.
        command: That asked for it.
        failed: Runs that could not be played.
        ablations: Played too; None = they were not asked for.

    Raises:
        LabError: Nothing was played.
    """
    tables = _tables(matrix)
    if not tables:
        reasons = "; ".join(f"{each.task.label}: {each.because}" for each in failed[:3])
        raise LabError(f"scoreboard: nothing was played; {reasons or 'name a scenario'}")
    return {
        "format": BOARD_FORMAT,
        "made_at": datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "edition": matrix.folder.name,
        "policies": list(matrix.policies),
        "seeds": list(matrix.seeds),
        "tables": tables,
        "claims": [asdict(each) for each in claims_on(tables)],
        "ablations": None if ablations is None else _ablations(ablations),
        "failed": [{"run": each.task.label, "because": each.because} for each in failed],
    }


def _tables(matrix: Matrix) -> list[dict[str, Any]]:
    return [
        compared(entry.scenario, scores)
        for entry in matrix.entries
        if (scores := matrix.scores(entry))
    ]


def _ablations(matrix: Matrix) -> dict[str, Any]:
    lacks = {FORESHARD: "nothing", UNFORESEEN: "forecasts"}
    lacks |= {name: altered.lacks for name, altered in ABLATIONS.items()}
    return {"seeds": list(matrix.seeds), "lacks": lacks, "tables": _tables(matrix)}


def written(values: object, path: Path) -> None:
    """Write JSON values.

    Raises:
        LabError: They cannot be written.
    """
    written_text(dumps(values, indent=1, allow_nan=False) + "\n", path)


def written_text(text: str, path: Path) -> None:
    """Write a text.

    Raises:
        LabError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(f"{path} cannot be written: {error}") from error
