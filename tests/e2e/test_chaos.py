"""SIGKILL for each process of Foreshard, again and again, beside a twin that is left in peace."""

from __future__ import annotations

import pytest
from benchmarks.chaos import Plot, trial

from tests.e2e.twins import ROLES

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(150)]


async def test_killing_each_process_again_and_again_fails_no_request_more() -> None:
    result = await trial(Plot(kills=6, every_s=1.0, seed=3))
    assert set(result.killed) == set(ROLES)
    assert not result.broken
