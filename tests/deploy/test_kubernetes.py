"""The manifests, against the schemas that Kubernetes publishes, and against what we would run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from foreshard import __version__
from foreshard.config import load
from foreshard.model.plan import Mode
from tests.architecture.source import ROOT

MANIFESTS = ROOT / "deploy" / "kubernetes" / "foreshard.yaml"
# The oldest and the newest that the package of schemas knows, and what is in between.
VERSIONS = ("1.25", "1.31", "1.37")


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))


def only(kind: str) -> dict[str, Any]:
    (found,) = [d for d in documents() if d["kind"] == kind]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_what_the_published_schemas_want(version: str) -> None:
    for document in documents():
        kubernetes_validate.validate(document, version, strict=True)


def test_a_manifest_that_is_wrong_is_found() -> None:
    broken = only("StatefulSet")
    broken["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_the_configuration_is_one_that_foreshard_takes_and_touches_nothing(tmp_path: Path) -> None:
    file = tmp_path / "foreshard.yaml"
    file.write_text(only("ConfigMap")["data"]["foreshard.yaml"])
    settings = load(file)
    assert settings.mode is Mode.OBSERVE
    containers = {c["name"]: c for c in pod()["containers"]}
    for role, address in (("serve", settings.metrics.serve), ("engine", settings.metrics.engine)):
        ports = {p["name"]: p["containerPort"] for p in containers[role]["ports"]}
        assert address is not None
        assert address.endswith(f":{ports[role]}")
        assert containers[role]["args"][0] == role
        assert containers[role]["image"] == f"foreshard:{__version__}"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert containers[role][probe]["httpGet"]["port"] == role
    mounts = [m["mountPath"] for m in containers["engine"]["volumeMounts"]]
    assert any(settings.data_dir.is_relative_to(m) for m in mounts), "data must lie on the volume"


def pod() -> dict[str, Any]:
    found: dict[str, Any] = only("StatefulSet")["spec"]["template"]["spec"]
    return found


def test_every_container_is_confined() -> None:
    assert pod()["securityContext"]["runAsNonRoot"] is True
    for container in pod()["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_both_processes_share_the_volume_and_there_is_one_pod() -> None:
    serve, engine = pod()["containers"]
    assert serve["volumeMounts"] == engine["volumeMounts"]
    assert only("StatefulSet")["spec"]["replicas"] == 1
    assert only("Service")["spec"]["publishNotReadyAddresses"] is True


def test_everything_selects_the_pod() -> None:
    labels = only("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    selectors = (
        only("StatefulSet")["spec"]["selector"]["matchLabels"],
        only("Service")["spec"]["selector"],
        only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    )
    assert all(selector.items() <= labels.items() for selector in selectors)
