"""This module is one run on file: all that scores and explanations need, the same to the bit.

What depends on the machine (wall time) is kept apart and never compared. Arrays are kept as
arrays, in NumPy's own format; everything else is JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foreshard.lab.simulation.diary import Risk, Said
from foreshard.lab.simulation.plant import Ledger
from foreshard.lab.simulation.shares import Shares
from foreshard.lab.simulation.world import Life, LifeEvent
from foreshard.model.errors import LabError

__all__ = ["Played", "RunRecord"]

# Of the file; a reader of another one would read nonsense.
FORMAT = 1
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a run was of: enough to play it again.

    Attributes:
        scenario: Its name.
        text: The whole of it, as canonical JSON.
        seed: Of arrivals, weather, telemetry and the policy's own chance.
        policy: Its name.
        core: Which plant.
        version: Of Foreshard.
        cells, origins, classes: Names, in the order of every array.
    """

    scenario: str
    text: str
    seed: int
    policy: str
    core: str
    version: str
    cells: tuple[str, ...]
    origins: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def scenario_hash(self) -> str:
        """SHA-256 of the scenario's text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunRecord:
    """One run.

    Attributes:
        played: What was played.
        ledger: What became of all requests.
        shares: What was given to whom, over time.
        said: The policy's reasons, as they were news; empty if it says nothing.
        risk: What it foresaw.
        lives: Deaths, starts and restarts that somebody asked for.
        log: The last lines that were logged.
        counts: `decisions` made, `acts` among them, reasons `unsaid`, and forecasts `foreseen by`
            each model.
        cost_s: What the run cost in real seconds: by part, as a whole, and of cpu; not compared.
    """

    played: Played
    ledger: Ledger
    shares: Shares
    said: tuple[Said, ...]
    risk: Risk
    lives: tuple[LifeEvent, ...]
    log: tuple[Mapping[str, str | float], ...]
    counts: Mapping[str, int]
    cost_s: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """All that is no array, as JSON values, without what the machine adds."""
        return {
            "format": FORMAT,
            "played": asdict(self.played) | {"scenario_hash": self.played.scenario_hash},
            "said": [asdict(one) for one in self.said],
            "horizons_s": list(self.risk.horizons_s),
            "lives": [asdict(one) for one in self.lives],
            "log": [dict(line) for line in self.log],
            "counts": dict(self.counts),
        }

    def arrays(self) -> dict[str, Array]:
        """All arrays, by the name of what they belong to and their own."""
        return {
            f"{part}.{each.name}": getattr(whole, each.name)
            for part, whole in (("ledger", self.ledger), ("shares", self.shares))
            for each in fields(whole)
        } | {"risk.at_s": self.risk.at_s, "risk.p": self.risk.p}

    def digest(self) -> str:
        """SHA-256 of the run: equal for runs that are equal to the bit, in hexadecimal."""
        digest = hashlib.sha256(_canonical(self.values()).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the run as one `.npz` file.

        Raises:
            LabError: It cannot be written.
        """
        text = _canonical(self.values() | {"cost_s": dict(self.cost_s)})
        contents: dict[str, Any] = {"run": np.array(text), **self.arrays()}
        try:
            with path.open("wb") as file:
                np.savez_compressed(file, **contents)
        except OSError as error:
            raise LabError(f"run: {path} cannot be written: {error}") from error

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Read what `save` wrote.

        Raises:
            LabError: It cannot be read, or is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                arrays: dict[str, Array] = {name: kept[name] for name in kept.files}
        except (OSError, ValueError) as error:
            raise LabError(f"run: {path} cannot be read: {error}") from error
        if "run" not in arrays:
            raise LabError(f"run: {path} holds no run; name a file that `lab run` wrote")
        return _record(json.loads(str(arrays.pop("run"))), arrays)


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _record(values: Mapping[str, Any], arrays: Mapping[str, Array]) -> RunRecord:
    if values["format"] != FORMAT:
        raise LabError(f"run: format is {values['format']}, this Foreshard reads {FORMAT}")
    names = {"cells", "origins", "classes"}
    played: dict[str, Any] = {
        key: tuple(value) if key in names else value
        for key, value in values["played"].items()
        if key != "scenario_hash"
    }
    lives = [one | {"what": Life(one["what"])} for one in values["lives"]]
    return RunRecord(
        played=Played(**played),
        ledger=Ledger(**_part("ledger", arrays)),
        shares=Shares(**_part("shares", arrays)),
        said=tuple(Said(**one) for one in values["said"]),
        risk=Risk(horizons_s=tuple(values["horizons_s"]), **_part("risk", arrays)),
        lives=tuple(LifeEvent(**one) for one in lives),
        log=tuple(values["log"]),
        counts=values["counts"],
        cost_s=values["cost_s"],
    )


def _part(name: str, arrays: Mapping[str, Array]) -> dict[str, Any]:
    start = f"{name}."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
