"""This module is the reference of the HTTP API, read from its own OpenAPI."""

from __future__ import annotations

from typing import cast

from foreshard.api.application import application
from foreshard.api.desk import Desk
from foreshard.app.web import SCHEMAS

__all__ = ["interface_page"]


def interface_page() -> str:
    """Every address with what it does and takes, as a Markdown table."""
    told = application(cast("Desk", None), SCHEMAS).openapi()
    lines = ["| address | | parameters |", "|---|---|---|"]
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            given = [each["name"] for each in operation.get("parameters", ()) if _is_told(each)]
            named = ", ".join(f"`{name}`" for name in given)
            does = str(operation["description"]).replace("|", "\\|")
            lines.append(f"| `{method.upper()} {path}` | {does} | {named} |")
    return "\n".join(lines)


def _is_told(parameter: dict[str, object]) -> bool:
    """What stands in the path is seen there."""
    return parameter["in"] != "path"
