"""The unit files: what systemd says of them, and what they must say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

UNITS = ROOT / "deploy" / "systemd"
ROLES = ("serve", "engine", "relay", "web")
SECTIONS = ("Unit", "Service", "Install")
# Each was accepted by `systemd-analyze verify` (252); one that is not here is a slip of the pen.
WORDS = """
    Description After Wants StartLimitIntervalSec Type NotifyAccess ExecStart Environment
    Restart RestartSec TimeoutStartSec TimeoutStopSec WatchdogSec MemoryMax OOMScoreAdjust
    User Group StateDirectory StateDirectoryMode WorkingDirectory UMask NoNewPrivileges
    ProtectSystem ProtectHome PrivateTmp PrivateDevices ProtectKernelTunables
    ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectClock ProtectHostname
    ProtectProc RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID
    RemoveIPC LockPersonality CapabilityBoundingSet AmbientCapabilities
    SystemCallArchitectures SystemCallFilter SystemCallErrorNumber OOMPolicy WantedBy
"""
KNOWN = frozenset(WORDS.split())


def read(role: str) -> dict[str, list[str]]:
    """Values by directive; a line that is neither that, a section nor a comment is refused."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / f"foreshard-{role}.service").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            assert line[1:-1] in SECTIONS
            continue
        key, equals, value = line.partition("=")
        assert equals
        assert key in KNOWN
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_unit_never_gives_up_is_watched_and_is_confined(role: str) -> None:
    unit = read(role)
    for key, value in {
        "Type": "notify",
        "Restart": "always",
        "StartLimitIntervalSec": "0",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "StateDirectory": "foreshard-relay" if role == "relay" else "foreshard",
        "CapabilityBoundingSet": "",
    }.items():
        assert unit[key] == [value]
    assert unit["WatchdogSec"]
    assert unit["ExecStart"][0].split()[1] == role


def test_neither_unit_ends_the_other() -> None:
    for role in ROLES:
        assert not {"Requires", "BindsTo", "PartOf"} & read(role).keys()


@pytest.mark.parametrize("role", ROLES)
def test_systemd_itself_has_nothing_against_a_unit(role: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        # Then the list above, which it wrote, is all there is.
        read(role)
        return
    unit = tmp_path / f"foreshard-{role}.service"
    text = (UNITS / unit.name).read_text(encoding="utf-8")
    program = Path(sys.executable).parent / "foreshard"
    unit.write_text(text.replace("/usr/local/bin/foreshard", str(program)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr
