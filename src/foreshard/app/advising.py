"""This module is an outlook between the worker that makes it and the engine that believes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreshard.adapters.store.parcel import Parcel, read_parcel, write_parcel
from foreshard.adapters.store.shelf import Shelf
from foreshard.app.places import models_dir, outlook_file
from foreshard.config import Settings
from foreshard.config.patience import NEED_NO_TRAINING
from foreshard.forecast.outlook import Outlook
from foreshard.model.errors import ForecastError, StoreError

__all__ = ["FileAdviser", "is_model_wanted", "tell"]

KIND = "outlook"


def tell(settings: Settings, outlook: Outlook, notes: Mapping[str, Any]) -> None:
    """Publish an outlook in the place of the one before.

    Args:
        settings: Of the Foreshard it is for.
        outlook: The newest.
        notes: For people, JSON values.

    Raises:
        StoreError: It cannot be written.
    """
    head = {
        "name": outlook.name,
        "made_at_s": outlook.made_at_s,
        "step_s": outlook.step_s,
        "horizons_s": list(outlook.horizons_s),
        "loads": list(outlook.loads),
        "cells": list(outlook.cells),
        "gauges": list(outlook.gauges),
        "broken": outlook.broken,
        "because": {name: list(words) for name, words in outlook.because.items()},
        "notes": dict(notes),
    }
    arrays: Mapping[str, NDArray[np.generic]] = {
        "by_gauge": outlook.by_gauge,
        "any": outlook.any,
        "seen": outlook.seen,
    }
    write_parcel(outlook_file(settings), Parcel(kind=KIND, head=head, arrays=arrays))


def is_model_wanted(settings: Settings) -> bool:
    """Whether a trained model should speak: one is wanted, and one was let fly."""
    learner = settings.forecast.model
    if learner in NEED_NO_TRAINING:
        return False
    try:
        return bool(Shelf(models_dir(settings), learner).note().champion)
    except StoreError:
        # There was one, or there would be no note; the worker says what is wrong.
        return True


class FileAdviser:
    """`Adviser` over the file that the worker writes; read again only when it has changed.

    Args:
        settings: Of the Foreshard it is for.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp: tuple[int, int] | None = None
        self._outlook: Outlook | None = None

    def newest(self) -> Outlook | None:
        """See `Adviser.newest`."""
        if not is_model_wanted(self._settings):
            return None
        path = outlook_file(self._settings)
        try:
            found = path.stat()
        except OSError as error:
            raise StoreError(
                "a model was let fly, and its worker has not spoken yet "
                f"({path.name}: {error.strerror})"
            ) from error
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp or self._outlook is None:
            self._outlook = _outlook_in(path)
            self._stamp = stamp
        return self._outlook


def _outlook_in(path: Path) -> Outlook:
    parcel = read_parcel(path, KIND)
    head, arrays = parcel.head, parcel.arrays
    try:
        made_at_s, step_s = float(head["made_at_s"]), float(head["step_s"])
        if not (math.isfinite(made_at_s) and step_s > 0.0):
            raise StoreError(f"{KIND} {path}: has no moment")
        return Outlook(
            name=str(head["name"]),
            made_at_s=made_at_s,
            step_s=step_s,
            horizons_s=tuple(float(h) for h in head["horizons_s"]),
            loads=tuple(float(x) for x in head["loads"]),
            cells=tuple(str(name) for name in head["cells"]),
            gauges=tuple(str(name) for name in head["gauges"]),
            by_gauge=np.asarray(arrays["by_gauge"], dtype=np.float32),
            any=np.asarray(arrays["any"], dtype=np.float32),
            seen=np.asarray(arrays["seen"], dtype=np.int64),
            broken=str(head["broken"]),
            because={
                str(name): tuple(str(each) for each in words)
                for name, words in head.get("because", {}).items()
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError, ForecastError) as error:
        raise StoreError(f"{KIND} {path}: holds no outlook: {error!r}") from error
