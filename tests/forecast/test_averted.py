from __future__ import annotations

import numpy as np
import pytest

from foreshard.forecast.averted import Basis, Case, averted_by_holdout, averted_by_probes
from foreshard.model.errors import InvalidValueError


def simulated(seed: int, *, risky: float = 0.6, works: float = 0.8) -> tuple[list[Case], float]:
    """Cases of two kinds, withheld unequally often; and how many acting has averted in truth."""
    rng = np.random.default_rng(seed)
    cases, averted = [], 0.0
    for _ in range(200):
        is_risky = rng.random() < 0.5
        propensity = 0.9 if is_risky else 0.6
        would_fail = rng.random() < (risky if is_risky else 0.1)
        acted = rng.random() < propensity
        cured = rng.random() < works
        averted += acted and would_fail and cured
        failed = bool(would_fail and not (acted and cured))
        cases.append(Case(propensity=propensity, acted=bool(acted), failed=failed))
    return cases, averted


def test_the_estimate_is_right_on_average_and_its_interval_holds_the_truth() -> None:
    errors, held = [], 0
    for seed in range(400):
        cases, truth = simulated(seed)
        found = averted_by_holdout(cases)
        assert found is not None
        errors.append(found.failures - truth)
        held += found.low <= truth <= found.high
    assert abs(float(np.mean(errors))) < 1.0
    assert held / 400 >= 0.88


def test_without_weights_the_answer_would_be_wrong() -> None:
    """Those withheld are mostly the harmless ones: they must not stand for the others as is."""
    plain, truths = [], []
    for seed in range(200):
        cases, truth = simulated(seed)
        withheld = np.mean([c.failed for c in cases if not c.acted])
        acted = [c.failed for c in cases if c.acted]
        plain.append(len(acted) * (withheld - np.mean(acted)))
        truths.append(truth)
    assert abs(np.mean(plain) - np.mean(truths)) > 5.0


def test_acting_that_does_nothing_averts_nothing() -> None:
    held = 0
    for seed in range(200):
        found = averted_by_holdout(simulated(seed, works=0.0)[0])
        assert found is not None
        held += found.low <= 0.0 <= found.high
    assert held / 200 >= 0.88


def test_what_was_never_withheld_is_said_to_be_unknown() -> None:
    sure = [Case(propensity=1.0, acted=True, failed=False)] * 7
    assert averted_by_holdout(sure) is None
    some = [
        *sure,
        *[Case(propensity=0.9, acted=True, failed=False)] * 9,
        Case(propensity=0.9, acted=False, failed=True),
    ]
    found = averted_by_holdout(some)
    assert found is not None
    assert (found.basis, found.of, found.unknown) == (Basis.HOLDOUT, 9, 7)
    assert found.failures == pytest.approx(9.0)
    # One withheld case is a weak witness.
    assert found.low < 5.0


def test_probes_that_failed_count_the_cells_that_did() -> None:
    cases = [
        *[Case(propensity=1.0, acted=True, failed=False, probe_failed=True)] * 6,
        *[Case(propensity=1.0, acted=True, failed=False, probe_failed=False)] * 4,
        *[Case(propensity=1.0, acted=True, failed=False)] * 5,
        # It failed under our hands: nothing was averted there.
        Case(propensity=1.0, acted=True, failed=True, probe_failed=True),
    ]
    found = averted_by_probes(cases)
    assert found is not None
    assert (found.basis, found.of, found.unknown) == (Basis.PROBES, 11, 5)
    assert found.failures == pytest.approx(6.0)
    assert 2.5 < found.low < 6.0 < found.high < 9.5
    assert averted_by_probes([Case(propensity=1.0, acted=True, failed=False)]) is None


def test_impossible_cases_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"propensity is 0\.0"):
        Case(propensity=0.0, acted=False, failed=False)
    with pytest.raises(InvalidValueError, match="cannot be 1"):
        Case(propensity=1.0, acted=False, failed=False)
