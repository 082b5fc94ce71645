"""This module is boosted trees (LightGBM), one ensemble a horizon, that travel as text.

Small trees, each of a random part of rows and columns: a fleet that ran into its limits a hundred
times has little to say, and larger trees learn it by heart. The settings were chosen on the first
half of real telemetry, and hardly matter (see docs/decisions/0017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.hazard.walk import Walk
from foreshard.model.errors import ForecastError

__all__ = ["ROUNDS", "Forest", "grow"]

Array = NDArray[np.float32]

# Trees of a horizon.
ROUNDS = 240
_SETTINGS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.04,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 127,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
}
# A leaf is made of so many rows, or fewer where there are few.
_LEAF_ROWS = 200
_LEAF_SHARE = 1 / 200
_FEWEST_LEAF_ROWS = 10
# Fewer rows than this take one thread: two would wait for each other more than they work, and on a
# machine that has other work each wait may last for milliseconds.
_ROWS_FOR_TWO = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees that say how likely an onset is.

    Attributes:
        text: As LightGBM writes them.
        trees: The same.
        walk: The same, as they are asked about many rows.
    """

    text: str
    trees: lightgbm.Booster
    walk: Walk

    @classmethod
    def of(cls, text: str) -> Forest:
        """The trees that a text tells of.

        Raises:
            ForecastError: It tells of none.
        """
        if not text.startswith("tree\n"):
            raise ForecastError("hazard: the text of the trees is damaged; train the model anew")
        try:
            trees = lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise ForecastError(f"hazard: the text of the trees is damaged ({error})") from error
        walk = Walk.of(text)
        if walk.column.max(initial=0) >= trees.num_feature():
            raise ForecastError("hazard: the text of the trees is damaged; train the model anew")
        return cls(text, trees, walk)

    @property
    def width(self) -> int:
        """Features of a row."""
        return self.trees.num_feature()

    def predict(self, table: Array, which: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Probabilities [N] of rows [N, F].

        Args:
            table: May hold other columns as well.
            which: Where the features of the trees stand in it; None = it holds them alone.
        """
        return self.walk.predict(table, np.arange(self.width) if which is None else which)

    def contributions(self, table: Array) -> NDArray[np.float64]:
        """What each feature adds to the log odds (TreeSHAP), [N, F + 1]; the last is the mean."""
        return np.asarray(self.trees.predict(table, pred_contrib=True), dtype=np.float64)


def grow(
    table: Array,
    came_true: NDArray[np.bool_],
    weight: Array,
    *,
    seed: int,
    rounds: int = ROUNDS,
) -> Forest:
    """Grow trees.

    Args:
        table: [N, F].
        came_true: [N], some but not all.
        weight: [N].
        seed: The same seed grows the same.
        rounds: So many trees.
    """
    rows = int(np.clip(_LEAF_SHARE * len(table), _FEWEST_LEAF_ROWS, _LEAF_ROWS))
    settings = {
        **_SETTINGS,
        "min_data_in_leaf": rows,
        "num_threads": _threads_for(len(table)),
        "seed": seed,
    }
    shown = lightgbm.Dataset(
        table, label=came_true.astype(np.float32), weight=weight, params={"verbose": -1}
    )
    text = lightgbm.train(settings, shown, num_boost_round=rounds).model_to_string()
    return Forest.of(text)


def _threads_for(rows: int) -> int:
    return 2 if rows >= _ROWS_FOR_TWO else 1
