from __future__ import annotations

import numpy as np
import pytest

from foreshard.profile.factor import FactorState, start_factor, update_factor

NOISE_SD = 0.1
BAND = np.log1p(0.12)


def look(state: FactorState, rng: np.random.Generator, excess: float = 0.0) -> FactorState:
    """One noisy reading of cells that do what is expected, but for the first."""
    used = np.exp(rng.normal(0.0, NOISE_SD, state.fast.shape))
    used[0] *= 1.0 + excess
    return update_factor(state, used, np.ones_like(used), noise_sd=np.array([NOISE_SD]), dt_s=1.0)


def suspected(cells: int, *, seed: int, looks: int = 300) -> int:
    """How often a quiet cell began to look as if it needed more than its siblings."""
    rng, state = np.random.default_rng(seed), start_factor(cells, 1)
    for _ in range(60):
        state = look(state, rng)
    before, found = np.zeros((cells, 1), dtype=np.bool_), 0
    for _ in range(looks):
        state = look(state, rng)
        now = np.abs(np.log(state.factor)) > BAND
        found += int(np.sum(now & ~before))
        before = now
    return found


def test_a_thousand_quiet_cells_are_suspected_little_more_often_than_twenty() -> None:
    few, many = (sum(suspected(cells, seed=seed) for seed in range(3)) for cells in (20, 1_000))
    # By chance alone it would be fifty times as often.
    assert 0 < few <= many <= 5 * few


@pytest.mark.parametrize("cells", [1, 20, 1_000])
def test_a_cell_that_needs_half_as_much_again_is_believed_within_six_looks(cells: int) -> None:
    rng, state = np.random.default_rng(3), start_factor(cells, 1)
    for _ in range(60):
        state = look(state, rng)
    for _ in range(6):
        state = look(state, rng, excess=0.5)
    assert np.log(state.factor[0, 0]) > BAND


def test_a_lone_spike_convinces_nobody() -> None:
    rng, state = np.random.default_rng(4), start_factor(20, 1)
    for _ in range(60):
        state = look(state, rng)
    state = look(state, rng, excess=2.0)
    assert abs(np.log(state.factor[0, 0])) < BAND
