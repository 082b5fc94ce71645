from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.history import ALONE
from foreshard.forecast.limit import LimitRule
from foreshard.lab.backtest.outline import LOAD, GaugeColumn, Outline
from foreshard.lab.backtest.record import Record, asked, lay
from foreshard.model.errors import LabError
from foreshard.ports import Samples
from tests.lab.backtest.sample import OUTLINE, record, samples


def rows(
    time_s: list[float], *, entity: list[int] | None = None, **columns: list[float]
) -> Samples:
    entity = entity or [0] * len(time_s)
    names = tuple(f"cell-{c}" for c in range(max(entity) + 1))
    return Samples(
        entities=names,
        groups=("",) * len(names),
        entity=np.array(entity, dtype=np.int32),
        time_s=np.array(time_s, dtype=np.float64),
        columns={name: np.array(values, dtype=np.float64) for name, values in columns.items()},
    )


def outline(*gauges: GaugeColumn, step_s: float = 60.0, **more: object) -> Outline:
    reading = replace(OUTLINE.reading, gauges=gauges, step_s=step_s, **more)  # type: ignore[arg-type]
    return replace(OUTLINE, reading=reading, horizons_s=(step_s,), calibration_s=0.0)


PLAIN = GaugeColumn(name="g", source="g", limit=LimitRule(absolute=1.0))


def laid(time_s: list[float], values: list[float], gauge: GaugeColumn = PLAIN) -> list[float]:
    found = lay(rows(time_s, g=values), outline(gauge)).history.value[0, 0]
    return [round(float(v), 4) for v in found]


def test_a_late_row_belongs_to_the_nearest_step() -> None:
    assert laid([0, 61, 118, 181, 240], [0.1, 0.2, 0.3, 0.4, 0.5]) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_missing_row_is_a_gap_and_nothing_is_filled_in() -> None:
    found = laid([0, 60, 180, 240, 300], [0.1, 0.2, 0.4, 0.5, 0.6])
    assert np.isnan(found[2])
    assert found[3] == 0.4


def test_finer_rows_become_the_largest_of_the_step_that_ends_with_them() -> None:
    found = laid([0.0, 15, 30, 45, 60, 75, 90, 105, 120, 180, 195, 210], list(range(12)))
    assert found[:3] == [0.0, 4.0, 8.0]


def test_a_row_never_counts_for_a_step_before_it_when_rows_are_finer() -> None:
    times = [float(t) for t in range(0, 600, 15)]
    values = [0.0] * 40
    values[29] = 0.9  # at 435 s, so in the step that ends at 480 s
    assert laid(times, values).index(0.9) == 8


def test_coarser_rows_are_refused_with_the_step_that_fits() -> None:
    with pytest.raises(LabError, match="say step_s: 300"):
        lay(rows([0, 300, 600], g=[1.0, 1.0, 1.0]), outline(PLAIN))


def test_a_counter_becomes_its_rate_and_a_reset_is_a_gap() -> None:
    counter = replace(PLAIN, is_counter=True, limit=None)
    found = laid([0, 60, 120, 180, 240], [0.0, 60.0, 180.0, 30.0, 90.0], counter)
    assert np.isnan(found[0])
    assert found[1:3] == [1.0, 2.0]
    assert np.isnan(found[3])
    assert found[4] == 1.0


def test_a_counter_of_one_cell_does_not_go_on_in_the_next() -> None:
    counter = replace(PLAIN, is_counter=True, limit=None)
    two = rows(
        [0, 60, 120, 180, 0, 60, 120, 180],
        entity=[0] * 4 + [1] * 4,
        g=[0.0, 60, 120, 180, 1e6, 1e6, 1e6, 1e6],
    )
    found = lay(two, outline(counter)).history.value[1, 0]
    assert np.isnan(found[0])
    assert found[1:].tolist() == [0.0, 0.0, 0.0]


def test_limits_are_learned_before_the_scored_part_where_data_are_trusted() -> None:
    time_s = [60.0 * t for t in range(100)]
    values = [0.5] * 20 + [0.8] * 30 + [9.0] * 50
    trusted = [0.0] * 20 + [1.0] * 80
    gauge = replace(PLAIN, limit=LimitRule(quantile=0.9))
    table = rows(time_s, g=values, trust=trusted)
    columns = {"g": table.columns["g"], "\0trusted": table.columns["trust"]}
    found = lay(replace(table, columns=columns), outline(gauge, trusted=("trust", 0.0)))
    assert found.limits.limit[0, 0] == pytest.approx(0.5)
    assert found.starts.tolist() == [50]


def test_each_cell_is_scored_from_the_middle_of_its_own_record() -> None:
    two = rows(
        [60.0 * t for t in range(40)] + [60.0 * t for t in range(20, 40)],
        entity=[0] * 40 + [1] * 20,
        g=[0.1] * 60,
    )
    assert lay(two, outline(PLAIN)).starts.tolist() == [20, 30]


def test_a_date_outside_the_record_is_refused() -> None:
    later = replace(OUTLINE, train_fraction=None, train_until_s=2.0e9)
    with pytest.raises(LabError, match="outside the record"):
        lay(samples(), later)


def test_a_record_that_is_too_short_is_refused() -> None:
    short = replace(outline(PLAIN), horizons_s=(3600.0,))
    with pytest.raises(LabError, match="too short for a horizon of 3600 s"):
        lay(rows([60.0 * t for t in range(30)], g=[0.1] * 30), short)


def test_single_rows_are_refused() -> None:
    with pytest.raises(LabError, match="more than one row"):
        lay(rows([0.0, 0.0], entity=[0, 1], g=[1.0, 1.0]), outline(PLAIN))


def test_siblings_load_and_events_come_along() -> None:
    table = samples()
    columns = {**table.columns, LOAD: table.columns["cpu"]}
    columns["\0declared"] = (table.columns["memory"] > 1.0).astype(np.float64)
    reading = replace(
        OUTLINE.reading, load=GaugeColumn(name=LOAD, source="rps"), declared="incident"
    )
    found = lay(replace(table, columns=columns), replace(OUTLINE, reading=reading)).history
    assert found.sibling.tolist() == [0, 0, ALONE]
    assert np.isfinite(found.load).all()
    assert found.declared is not None
    assert found.declared.any()
    wanted = asked(reading)
    assert set(wanted.columns) == {"memory", "cpu", LOAD, "\0declared"}


def test_a_shop_is_laid_whole() -> None:
    found: Record = record()
    assert not np.isnan(found.history.value).any()
    assert found.history.begins_s == 1.7e9
