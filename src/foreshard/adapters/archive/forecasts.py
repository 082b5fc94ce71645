"""This module is forecasts as a Parquet file, for whoever wants to judge them by other means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import SourceError

__all__ = ["ForecastRows", "write_forecasts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRows:
    """N forecasts of one model at one horizon.

    Attributes:
        model: Its name.
        horizon_s: Seconds.
        entity: int [N], index of the entity.
        time_s: float64 [N].
        p: float32 [N], NaN = nothing was said; written as NULL.
    """

    model: str
    horizon_s: float
    entity: NDArray[np.integer]
    time_s: NDArray[np.float64]
    p: NDArray[np.float32]


def write_forecasts(
    path: Path, entities: Sequence[str], rows: Sequence[ForecastRows], *, with_model: bool
) -> None:
    """Write `entity, ts, horizon_s, p`, by horizon, entity and time.

    Args:
        path: Of the file.
        entities: Their names.
        rows: In the order in which they are written.
        with_model: A fifth column names the model.

    Raises:
        SourceError: It cannot be written.
    """
    with duckdb.connect(":memory:") as base:
        base.register("named", {"place": np.arange(len(entities)), "name": np.array(entities)})
        base.execute(
            "CREATE TABLE told "
            "(entity VARCHAR, ts DOUBLE, horizon_s DOUBLE, p FLOAT, model VARCHAR)"
        )
        for each in rows:
            base.register(
                "said",
                {"place": np.asarray(each.entity), "ts": each.time_s, "p": each.p},
            )
            base.execute(
                "INSERT INTO told SELECT name, ts, ?, CASE WHEN isnan(p) THEN NULL ELSE p END, ? "
                "FROM said JOIN named USING (place) ORDER BY place, ts",
                [each.horizon_s, each.model],
            )
        columns = "entity, ts, horizon_s, p" + (", model" if with_model else "")
        target = "'" + str(path).replace("'", "''") + "'"
        try:
            base.execute(f"COPY (SELECT {columns} FROM told) TO {target} (FORMAT parquet)")  # noqa: S608 - the path is quoted
        except duckdb.Error as error:
            first = str(error).splitlines()[0]
            raise SourceError(f"{path}: forecasts cannot be written: {first}") from error
