"""The Python on the page about routing in the application runs as it stands there."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.serve import serving
from foreshard.ports import Applied
from tests.adapters.routing.envoy_bench import free_port
from tests.adapters.routing.envoy_tables import cells
from tests.adapters.routing.serve_bench import serve_settings, shop_table
from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "how-to" / "route-in-the-application.md"


@pytest.mark.may_block  # the first batch compiles
async def test_every_block_of_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    table, port = shop_table(7, cells("eu-1", "eu-2")), free_port()
    known: dict[str, Any] = {"table": table, "app": None}
    settings = serve_settings(tmp_path / "serve", {"eu": 1}, port=port)
    async with serving(settings), ServeSink(tmp_path / "serve") as sink:
        assert isinstance(await sink.apply(table), Applied)
        for block in blocks:
            text = block.replace("127.0.0.1:18000", f"127.0.0.1:{port}")
            code = compile(text, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waits = eval(code, known)  # noqa: S307 - our own page
            if asyncio.iscoroutine(waits):
                await waits
    said = capsys.readouterr().out
    assert "send it to eu-" in said
    assert "7 True" in said
    assert "eu-2 eu-1 fails within 300 s" in said
    assert len(blocks) == 6
