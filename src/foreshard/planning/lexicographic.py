"""This module is a linear program solved by one objective after another, exactly.

After each objective the program is confined to its own optimal face: by complementary
slackness, whatever has a nonzero reduced cost stays at its bound, and whatever row has a
nonzero price stays where it is. Nothing is traded between objectives, no price has to be
"large enough", and each solve starts from the optimal basis of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np
from numpy.typing import NDArray

from foreshard.planning.problem import Floats

__all__ = ["Lexicographic", "Program", "assemble"]

# Reduced costs below this are the solver's own rounding; objectives are scaled to about 1.
DUAL_TOLERANCE = 1e-8
# HiGHS: primal simplex, the basis of the objective before being primal feasible.
PRIMAL_SIMPLEX = 4


@dataclass(slots=True)
class Program:
    """Columns and rows, in blocks, as they are added.

    Rows are `lower <= sum of coefficient * column <= upper`.
    """

    column_upper: list[Floats] = field(default_factory=list)
    column_lower: list[Floats] = field(default_factory=list)
    row_lower: list[Floats] = field(default_factory=list)
    row_upper: list[Floats] = field(default_factory=list)
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]] = field(
        default_factory=list
    )
    columns: int = 0
    rows: int = 0

    def add_columns(self, lower: Floats, upper: Floats) -> NDArray[np.int64]:
        """New columns in the shape of the bounds; returns their indices in that shape."""
        index = np.arange(self.columns, self.columns + upper.size).reshape(upper.shape)
        self.column_lower.append(lower.ravel())
        self.column_upper.append(upper.ravel())
        self.columns += upper.size
        return index

    def add_free(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """New columns that are only bounded by 0 from below."""
        return self.add_columns(np.zeros(shape), np.full(shape, np.inf))

    def add_rows(self, lower: Floats, upper: Floats) -> NDArray[np.int64]:
        """New, empty rows in the shape of the bounds; returns their indices in that shape."""
        index = np.arange(self.rows, self.rows + upper.size).reshape(upper.shape)
        self.row_lower.append(lower.ravel())
        self.row_upper.append(upper.ravel())
        self.rows += upper.size
        return index

    def at_most(self, limit: Floats) -> NDArray[np.int64]:
        """New, empty rows without a lower bound."""
        return self.add_rows(np.full(limit.shape, -np.inf), limit)

    def put(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], values: Floats | float
    ) -> None:
        """Set coefficients; the three arguments broadcast against each other."""
        r, c, v = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=np.float64))
        kept = v.ravel() != 0.0
        self.entries.append((r.ravel()[kept], c.ravel()[kept], v.ravel()[kept]))


class Lexicographic:
    """One program, minimised by objectives in falling order of importance.

    Args:
        program: Complete; later changes to it are not seen.
        time_limit_s: For all objectives together; > 0.
    """

    def __init__(self, program: Program, *, time_limit_s: float) -> None:
        self._highs = highspy.Highs()  # type: ignore[no-untyped-call]  # its stub has no types
        self._limit_s = time_limit_s
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("presolve", "off"),
            ("time_limit", time_limit_s),
        ):
            self._highs.setOptionValue(option, value)
        self._columns = program.columns
        self._rows = program.rows
        self._highs.passModel(assemble(program))
        self.values: Floats = np.full(program.columns, np.nan)

    def minimise(self, cost: Floats) -> highspy.HighsModelStatus:
        """Minimise an objective among the optima that were settled; keeps `values`."""
        highs = self._highs
        highs.changeColsCost(self._columns, np.arange(self._columns, dtype=np.int32), cost)
        highs.run()
        status = highs.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            self.values = np.array(highs.getSolution().col_value)
            highs.setOptionValue("simplex_strategy", PRIMAL_SIMPLEX)
        return status

    def settle(self) -> None:
        """Confine everything that follows to the optima of the last objective."""
        highs = self._highs
        solution = highs.getSolution()
        fixed = np.flatnonzero(np.abs(np.array(solution.col_dual)) > DUAL_TOLERANCE)
        if fixed.size:
            at = self.values[fixed]
            highs.changeColsBounds(fixed.size, fixed.astype(np.int32), at, at)
        held = np.flatnonzero(np.abs(np.array(solution.row_dual)) > DUAL_TOLERANCE)
        if held.size:
            at = np.array(solution.row_value)[held]
            for row, activity in zip(held.tolist(), at.tolist(), strict=True):
                highs.changeRowBounds(row, activity, activity)


def assemble(program: Program) -> highspy.HighsLp:
    """The program as HiGHS takes it, without an objective."""
    rows = np.concatenate([entry[0] for entry in program.entries])
    columns = np.concatenate([entry[1] for entry in program.entries])
    values = np.concatenate([entry[2] for entry in program.entries])
    order = np.lexsort((rows, columns))
    lp = highspy.HighsLp()
    lp.num_col_ = program.columns
    lp.num_row_ = program.rows
    lp.col_cost_ = np.zeros(program.columns)
    lp.col_lower_ = np.concatenate(program.column_lower)
    lp.col_upper_ = np.concatenate(program.column_upper)
    lp.row_lower_ = np.concatenate(program.row_lower)
    lp.row_upper_ = np.concatenate(program.row_upper)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.searchsorted(columns[order], np.arange(program.columns + 1))
    lp.a_matrix_.index_ = rows[order]
    lp.a_matrix_.value_ = values[order]
    return lp
