"""This module is the page's colours: two palettes whose words all reach a contrast of 4.5 to 1.

The sides are told apart by hue that survives colour-blindness (orange against blue, Okabe and
Ito 2008), classes by lightness of one hue, and nothing by colour alone: lines differ in dash,
phases and marks carry words or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["CLASS_TINTS", "DARK", "LIGHT", "contrast", "theme_css"]

# Classes beyond these share the last tint.
CLASS_TINTS: Final = 4

LIGHT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "page": "#f6f7f8",
        "panel": "#ffffff",
        "ink": "#16191d",
        "muted": "#55606b",
        "rule": "#d8dde2",
        "grid": "#e8ebee",
        "reactive": "#b34700",
        "reactive-fill": "#e07b39",
        "foreshard": "#00528f",
        "foreshard-fill": "#2f7fbd",
        "class-1": "#2f6fa8",
        "class-2": "#74a9d6",
        "class-3": "#b7d5ee",
        "class-4": "#e3eef8",
        "risk": "#7b2d86",
        "risk-fill": "#c79bd0",
        "fault": "#f3e3bd",
        "onset": "#8a1c1c",
        "mark": "#16191d",
        "mark-ink": "#ffffff",
        "ribbon": "#dfe4e8",
        "ribbon-ink": "#3d464f",
        "good": "#0b6045",
    }
)

DARK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "page": "#0f1215",
        "panel": "#171b20",
        "ink": "#e9edf1",
        "muted": "#a5b0bb",
        "rule": "#333b44",
        "grid": "#242a31",
        "reactive": "#ff9d5c",
        "reactive-fill": "#d8702b",
        "foreshard": "#7cbcf0",
        "foreshard-fill": "#3f8fcf",
        "class-1": "#2d6da6",
        "class-2": "#5f9fd4",
        "class-3": "#a3cdf0",
        "class-4": "#d4e7f8",
        "risk": "#dba4e4",
        "risk-fill": "#74407e",
        "fault": "#3d3420",
        "onset": "#ff8f8f",
        "mark": "#e9edf1",
        "mark-ink": "#14181c",
        "ribbon": "#323a43",
        "ribbon-ink": "#d3dae1",
        "good": "#74d3ad",
    }
)


def theme_css() -> str:
    """The palettes as custom properties: the reader's choice, else that of the system."""
    return "\n".join(
        (
            _rule(":root", LIGHT, "light"),
            "@media (prefers-color-scheme: dark) {",
            _rule(':root:not([data-theme="light"])', DARK, "dark"),
            "}",
            _rule(':root[data-theme="dark"]', DARK, "dark"),
            "@media print {",
            _rule(":root:root:root", LIGHT, "light"),
            "}",
            "",
        )
    )


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2, relative luminance).

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rule(selector: str, palette: Mapping[str, str], scheme: str) -> str:
    lines = (f"  --{name}: {colour};" for name, colour in palette.items())
    return "\n".join((f"{selector} {{", f"  color-scheme: {scheme};", *lines, "}"))
