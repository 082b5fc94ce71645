from __future__ import annotations

from collections.abc import Mapping

import pytest

from foreshard.lab.report.theme import DARK, LIGHT, contrast, theme_css

each_palette = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])

WORDS = [
    *((ink, ground) for ink in ("ink", "muted") for ground in ("page", "panel", "fault")),
    *((ink, "panel") for ink in ("reactive", "foreshard", "risk", "onset", "good")),
    ("mark-ink", "mark"),
    ("ribbon-ink", "ribbon"),
    ("panel", "onset"),
]
# Shapes that carry meaning must stand out of their ground (WCAG 2.2, 1.4.11).
SHAPES = ["reactive-fill", "foreshard-fill", "reactive", "risk", "onset", "good", "mark"]


@each_palette
@pytest.mark.parametrize(("ink", "ground"), WORDS)
def test_words_can_be_read(palette: Mapping[str, str], ink: str, ground: str) -> None:
    assert contrast(palette[ink], palette[ground]) >= 4.5


@each_palette
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_stand_out(palette: Mapping[str, str], shape: str) -> None:
    assert contrast(palette[shape], palette["panel"]) >= 2.9


@each_palette
def test_classes_differ_in_lightness(palette: Mapping[str, str]) -> None:
    for one, other in (("class-1", "class-2"), ("class-2", "class-3"), ("class-3", "class-4")):
        assert contrast(palette[one], palette[other]) >= 1.25


def test_both_palettes_name_the_same_colours_and_both_are_served() -> None:
    assert LIGHT.keys() == DARK.keys()
    css = theme_css()
    assert all(css.count(f"--{name}:") == 4 for name in LIGHT)
