"""Overload that feeds on itself, and overload that does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.lab.scenario.scenario import CellMake, Offer
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.requests.core import RequestPlant
from tests.lab.simulation.worlds import offer, play, program, scenario, well

# The first test in a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)


def hurried() -> Offer:
    """Given up long before a full cell would have come to it."""
    plain = offer(0.024)
    of = replace(plain.request_class, objective_s=0.4, timeout_s=0.5)
    return replace(plain, request_class=of)


def bad_long_after_a_surge(*, client_retries: int) -> float:
    """Share of the last twenty seconds, half a minute after twenty seconds of double demand."""
    of = scenario(
        hurried(),
        make=CellMake(cpus=3, connections=256, backlog=256),
        load={"utilisation": 0.8, "client_retries": client_retries},
        duration_s=90.0,
    )
    plant = RequestPlant(of, seed=3)
    plant.route(program(of))
    play(plant, well(of), from_s=0.0, to_s=20.0)
    before = plant.ledger().fates[5:19].sum(axis=(0, 1, 2))
    assert before[Fate.FAILED] <= 0.001 * before.sum()
    play(plant, well(of, demand=np.full((1, 1), 2.0)), from_s=20.0, to_s=40.0)
    play(plant, well(of), from_s=40.0, to_s=90.0)
    after = plant.close().fates[70:].sum(axis=(0, 1, 2))
    return float(1.0 - after[Fate.GOOD] / after.sum())


def test_with_clients_that_ask_again_an_overload_outlives_its_cause() -> None:
    assert bad_long_after_a_surge(client_retries=3) > 0.7


def test_without_them_it_ends_with_its_cause() -> None:
    assert bad_long_after_a_surge(client_retries=0) < 0.01
