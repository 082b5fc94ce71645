"""This module is a `serve` process that a test can kill: data directory, port, region=port ..."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from foreshard.adapters.routing.serve import run_serve
from tests.adapters.routing.serve_bench import serve_settings


def main() -> None:
    data_dir, port, *regions = sys.argv[1:]
    listen_ports = {name: int(value) for name, _, value in (r.partition("=") for r in regions)}
    settings = serve_settings(Path(data_dir), listen_ports, port=int(port))
    asyncio.run(run_serve(settings))


if __name__ == "__main__":
    main()
