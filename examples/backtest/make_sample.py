"""Two weeks of a made-up shop of six cells, as its metrics store would have them.

What is in it: a day with a rush hour that some days are too much for; a heap that leaks until the
process restarts; a disk that fills until it is cleaned up; a counter that is reset by restarts;
minutes that nobody recorded; and now and then a cell that breaks at once, which no one foresees.

    python examples/backtest/make_sample.py sample.parquet
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import numpy as np

BEGINS_S = 1_767_225_600  # 2026-01-01T00:00:00Z
STEP_S = 300
DAYS = 14
PER_DAY = 86_400 // STEP_S
MEMORY_BYTES = 4 * 1024**3
CELLS = {"eu-1": "1.0", "eu-2": "1.0", "eu-3": "1.1", "us-1": "1.0", "us-2": "1.0", "us-3": "1.1"}


def columns(seed: int = 2026) -> dict[str, np.ndarray]:
    """The table, column by column."""
    chance = np.random.default_rng(seed)
    t = np.arange(DAYS * PER_DAY)
    parts: dict[str, list[np.ndarray]] = {}
    for number, (cell, version) in enumerate(CELLS.items()):
        hour = (t / PER_DAY - (0.0 if cell.startswith("eu") else 0.25)) % 1.0
        day = 0.5 - 0.5 * np.cos(2.0 * np.pi * (hour - 0.1))
        rush = np.exp(-(((hour - 0.78) / 0.05) ** 2))
        busy = chance.uniform(0.6, 1.4, DAYS).repeat(PER_DAY)
        rate = 40.0 + 120.0 * day + 130.0 * busy * rush + chance.normal(0.0, 4.0, len(t))
        sudden = np.zeros(len(t))
        for at in chance.choice(len(t), 3, replace=False):
            sudden[at : at + 6] = 0.5
        cpu = rate / 300.0 * (1.0 + 0.08 * (version == "1.1")) + sudden
        # Version 1.1 leaks: four days from a start to the end.
        life = round((4.0 if version == "1.1" else 40.0) * PER_DAY)
        age = (t + number * 311) % life
        memory = (0.35 + 0.66 * age / life + chance.normal(0.0, 0.01, len(t))) * MEMORY_BYTES
        cycle = round((5.0 + number) * PER_DAY)
        disk = 0.4 + 0.57 * ((t + number * 173) % cycle) / cycle + 0.01 * day
        total = np.cumsum(np.maximum(rate, 0.0) * STEP_S)
        total -= np.where(age <= t, total[np.maximum(t - age, 0)], 0.0)
        kept = chance.random(len(t)) > 0.004
        kept[1000 + 40 * number : 1030 + 40 * number] = False
        for name, values in {
            "cell": np.full(len(t), cell),
            "version": np.full(len(t), version),
            "moment": BEGINS_S + t * STEP_S,
            "cpu_ratio": np.clip(cpu, 0.02, 1.0).round(3).astype(np.float32),
            "memory_bytes": memory.round(-7),
            "disk_ratio": disk.round(3).astype(np.float32),
            "requests_total": total.round(-2),
        }.items():
            parts.setdefault(name, []).append(values[kept])
    return {name: np.concatenate(values) for name, values in parts.items()}


def write(path: Path) -> None:
    """Write the table as Parquet."""
    table = columns()
    with duckdb.connect(":memory:") as base:
        base.register("told", table)
        base.execute(
            "COPY (SELECT cell, version, make_timestamp(moment * 1000000) AS moment, cpu_ratio, "  # noqa: S608 - our own names
            "memory_bytes, disk_ratio, requests_total FROM told ORDER BY cell, moment) "
            f"TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
