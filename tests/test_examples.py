from __future__ import annotations

import yaml

from foreshard.app.serving import bootstrap_of
from foreshard.app.steering import engine_of
from foreshard.config import load
from foreshard.model.plan import Mode
from tests.architecture.source import ROOT

EXAMPLE = ROOT / "examples" / "foreshard.yaml"


def test_the_example_is_accepted_and_touches_nothing_until_told_to() -> None:
    settings = load(EXAMPLE)
    assert settings.mode is Mode.OBSERVE
    assert engine_of(settings).begin(None, {}, now_s=0.0).cells.keys() == {"eu-1", "eu-2", "us-1"}


def test_the_example_makes_a_bootstrap_that_finds_discovery() -> None:
    settings = load(EXAMPLE)
    text = bootstrap_of(settings, node_id="edge-1", admin_port=9901, region="eu")
    config = yaml.safe_load(text)
    assert config["node"]["locality"]["region"] == "eu"
    assert "18000" in text
