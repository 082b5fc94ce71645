from __future__ import annotations

import highspy
import numpy as np

from foreshard.planning.lexicographic import Lexicographic, Program


def corner() -> tuple[Program, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """x + y + z >= 1, all in [0, 1]."""
    program = Program()
    columns = program.add_columns(np.zeros(3), np.ones(3))
    row = program.add_rows(np.ones(1), np.full(1, np.inf))
    program.put(row[:, None], columns[None, :], 1.0)
    return program, columns


def test_a_later_objective_never_costs_an_earlier_one_anything() -> None:
    program, _ = corner()
    search = Lexicographic(program, time_limit_s=1.0)
    assert search.minimise(np.array([1.0, 1.0, 2.0])) == highspy.HighsModelStatus.kOptimal
    search.settle()
    # On its own, this would choose z.
    search.minimise(np.array([1.0, 2.0, -9.0]))
    assert search.values.tolist() == [1.0, 0.0, 0.0]


def test_an_objective_that_is_not_settled_binds_nothing() -> None:
    program, _ = corner()
    search = Lexicographic(program, time_limit_s=1.0)
    search.minimise(np.array([1.0, 1.0, 2.0]))
    search.minimise(np.array([1.0, 1.0, -1.0]))
    assert search.values.tolist() == [0.0, 0.0, 1.0]


def test_values_are_unknown_before_the_first_objective() -> None:
    search = Lexicographic(corner()[0], time_limit_s=1.0)
    assert np.isnan(search.values).all()


def test_a_program_without_a_solution_says_so() -> None:
    program, columns = corner()
    row = program.at_most(np.full(1, 0.5))
    program.put(row[:, None], columns[None, :], 1.0)
    search = Lexicographic(program, time_limit_s=1.0)
    assert search.minimise(np.ones(3)) == highspy.HighsModelStatus.kInfeasible
