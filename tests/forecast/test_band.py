from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.forecast.band import drift_quantile, probability_band
from foreshard.forecast.drift import DriftPosterior
from foreshard.forecast.first_passage import passage_probability
from foreshard.model.errors import InvalidValueError
from foreshard.model.forecast import Band
from tests.forecast.test_trend import MEMORY, ONSET, quiet

HORIZONS_S = (20.0, 60.0)


def posterior(
    *, share: float, drift: tuple[float, float], sd: tuple[float, float], level: float = 0.5
) -> DriftPosterior:
    """One gauge; `share` is the probability of the second explanation."""

    def column(values: tuple[float, float]) -> np.ndarray:
        return np.array(values)[:, None]

    return DriftPosterior(
        share=column((1.0 - share, share)),
        level=column((level, level)),
        level_sd=column((0.01, 0.01)),
        drift=column(drift),
        drift_sd=column(sd),
        noise=np.array([0.01]),
        samples=np.array([90.0]),
    )


ALL = np.array([True])
shares = st.floats(0.0, 1.0)
drifts = st.floats(-0.02, 0.05)
sds = st.floats(1e-5, 0.02)


@given(shares, drifts, drifts, sds, sds, st.floats(0.0, 1.2))
def test_a_band_lies_in_order_and_widens_along_the_horizons_only_upwards(
    share: float, slow: float, fast: float, sd: float, other_sd: float, level: float
) -> None:
    of = posterior(share=share, drift=(slow, fast), sd=(sd, other_sd), level=level)
    low, high = probability_band(of, HORIZONS_S, ALL)
    assert np.all((low >= 0.0) & (low <= high) & (high <= 1.0))
    assert low[0, 0] <= low[1, 0]
    assert high[0, 0] <= high[1, 0]


def test_a_band_is_what_drawing_drifts_says() -> None:
    of = posterior(share=1.0, drift=(0.0, 0.01), sd=(0.001, 0.004))
    drawn = np.random.default_rng(1).normal(0.01, 0.004, 20_000)
    noise = np.hypot(0.01, 0.01 / np.sqrt(60.0))
    p = passage_probability(0.5, drawn, noise, 60.0)
    low, high = probability_band(of, HORIZONS_S, ALL)
    assert low[1, 0] == pytest.approx(np.quantile(p, 0.1), abs=0.02)
    assert high[1, 0] == pytest.approx(np.quantile(p, 0.9), abs=0.02)


def test_a_drift_that_is_known_leaves_no_doubt_and_a_ramp_or_nothing_leaves_all() -> None:
    known = probability_band(
        posterior(share=1.0, drift=(0.0, 0.01), sd=(1e-6, 1e-6)), HORIZONS_S, ALL
    )
    assert known[1, 1, 0] - known[0, 1, 0] < 0.001
    split = probability_band(
        posterior(share=0.5, drift=(0.0, 0.05), sd=(1e-4, 1e-4)), HORIZONS_S, ALL
    )
    assert split[0, 1, 0] < 0.01
    assert split[1, 1, 0] > 0.99


def test_the_quantile_of_a_mixture_is_that_of_its_draws() -> None:
    of = posterior(share=0.3, drift=(0.0, 0.02), sd=(0.002, 0.01))
    rng = np.random.default_rng(2)
    ramp = rng.random(50_000) < 0.3
    drawn = np.where(ramp, rng.normal(0.02, 0.01, 50_000), rng.normal(0.0, 0.002, 50_000))
    for q in (0.1, 0.9):
        assert drift_quantile(of, q)[0] == pytest.approx(np.quantile(drawn, q), abs=5e-4)


def test_rows_that_nobody_asks_for_cost_nothing_and_are_nought() -> None:
    of = posterior(share=1.0, drift=(0.0, 0.05), sd=(1e-4, 1e-4))
    assert not probability_band(of, HORIZONS_S, ~ALL).any()


def test_a_leak_is_doubtful_before_it_is_certain_and_a_calm_cell_never_is() -> None:
    story = quiet(ONSET + 40, seed=5)
    story.value[2, MEMORY, ONSET:] += 0.012 * np.arange(40)
    told = [story.forecast(ONSET + after).cells for after in range(3, 25)]
    bands = [cells["cell-2"].risk_band[60.0] for cells in told if cells["cell-2"].risk_band]
    assert max(b.high - b.low for b in bands) > 0.5
    assert bands[-1] == Band(low=1.0, high=1.0)
    calm = [b for cells in told for b in cells["cell-0"].risk_band.values()]
    assert max((b.high for b in calm), default=0.0) < 0.2


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.4), (-0.1, 0.2), (0.0, 1.1)])
def test_a_band_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(InvalidValueError, match="must rise"):
        Band(low=low, high=high)
