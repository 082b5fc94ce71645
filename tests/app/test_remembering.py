from __future__ import annotations

from typing import Any

from foreshard.app.remembering import siblings_of
from foreshard.config import parse
from tests.test_config import text


def test_siblings_stand_in_one_region_on_one_sort_of_hardware() -> None:
    def label(values: dict[str, Any]) -> None:
        for cell in values["cells"]:
            if cell["name"] == "eu-1":
                cell["hardware"] = "arm"

    plain, labelled = siblings_of(parse(text())), siblings_of(parse(text(label)))
    assert plain["eu-1"] == plain["eu-2"]
    assert "eu-1" not in labelled
    assert labelled["us-1"] == labelled["us-2"]
    assert labelled["us-1"] != labelled.get("eu-2")
