from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "highspy", "scipy", "aiohttp", "rich.live", "foreshard.engine")


def test_a_relay_loads_nothing_that_only_deciding_needs() -> None:
    code = (
        "import sys, foreshard.cli.main, foreshard.app.relaying; "
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
