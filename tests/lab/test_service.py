import json
from collections.abc import Callable

import pytest

from foreshard.lab import service
from foreshard.model.errors import InvalidValueError


def test_the_service_is_the_one_in_the_golden_file(golden: Callable[[str, str], None]) -> None:
    golden("service.json", json.dumps(service.describe(), indent=2) + "\n")


def test_the_default_load_is_450_requests_a_second() -> None:
    assert service.mean_cpu_s() == pytest.approx(0.0248)
    assert service.capacity_rps() == pytest.approx(121, abs=0.1)
    assert round(service.offered_rps(service.DEFAULT_LOAD)) == 450


def test_the_mix_is_whole_and_names_every_class() -> None:
    names = [each.name for each in service.CLASSES]
    assert sum(service.MIX.values()) == pytest.approx(1.0)
    assert list(service.MIX) == names
    assert list(service.WORK) == names


def test_six_cells_stand_in_two_regions_and_six_zones() -> None:
    fleet = service.fleet({site.name: 9001 + i for i, site in enumerate(service.SITES)})
    assert fleet.names == ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3")
    assert fleet.regions == ("eu", "us")
    assert len({cell.zone for cell in fleet.cells}) == 6


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="load is 0"):
        service.offered_rps(0.0)
    with pytest.raises(InvalidValueError, match="class 'refund' is unknown"):
        service.request_class("refund")
    with pytest.raises(InvalidValueError, match="cpu_s is 0"):
        service.Work(cpu_s=0.0)
