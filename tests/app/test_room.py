from __future__ import annotations

from pathlib import Path

import pytest

from foreshard.app.room import left_mb


def group(folder: Path, limit: str, used: int, *, old: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes")
        if old
        else (
            "memory.max",
            "memory.current",
        )
    )
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")


def left(tmp_path: Path, own: str) -> float | None:
    (tmp_path / "own").write_text(own)
    return left_mb(groups=tmp_path / "groups", own=tmp_path / "own")


def test_the_tightest_limit_up_to_the_root_counts(tmp_path: Path) -> None:
    group(tmp_path / "groups" / "system" / "engine", "max", 100_000_000)
    group(tmp_path / "groups" / "system", "2000000000", 500_000_000)
    assert left(tmp_path, "0::/system/engine\n") == pytest.approx(1_500.0)


def test_inside_a_container_the_root_is_the_limit(tmp_path: Path) -> None:
    group(tmp_path / "groups", "1000000000", 300_000_000)
    assert left(tmp_path, "0::/not/to/be/seen/here\n") == pytest.approx(700.0)


def test_the_older_layout_is_read_too(tmp_path: Path) -> None:
    group(tmp_path / "groups" / "memory" / "x", "800000000", 300_000_000, old=True)
    assert left(tmp_path, "3:cpu:/x\n4:memory:/x\n") == pytest.approx(500.0)
    group(tmp_path / "groups" / "memory" / "x", str(2**63 - 4096), 300_000_000, old=True)
    assert left(tmp_path, "4:memory:/x\n") is None


def test_without_a_limit_nothing_is_said(tmp_path: Path) -> None:
    assert left(tmp_path, "0::/\n") is None
    assert left_mb(groups=tmp_path, own=tmp_path / "none") is None
