"""An endpoint's pinned engine: ordered, kept, taken away, rolled back, shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from aiplatform.contracts.inference import EndpointInfo
from aiplatform.errors import InvalidInputError
from inference import selectors, services
from inference.models import ReplicaStatus
from inference.text import endpoint_lines, revision_line
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


@pytest.fixture
def keras_registry(registry: FakeRegistry) -> FakeRegistry:
    for key, info in registry.versions.items():
        registry.versions[key] = replace(info, framework="tensorflow")
    return registry


def deploy(registry: FakeRegistry, reference: str = "1", engine: str = "") -> EndpointInfo:
    return services.deploy_version(
        endpoint="digits", model="digits", reference=reference, engine=engine, actor="ann", registry=registry
    )


def test_a_pin_stays_until_it_is_taken_away(keras_registry: FakeRegistry) -> None:
    assert deploy(keras_registry).engine == ""
    assert deploy(keras_registry, engine="onnxruntime").engine == "onnxruntime"
    assert deploy(keras_registry, "2").engine == "onnxruntime"
    assert selectors.read_desired_state()["digits"].engine == "onnxruntime"
    assert deploy(keras_registry, engine="auto").engine == ""


def test_a_rollback_brings_the_engine_back_too(keras_registry: FakeRegistry) -> None:
    deploy(keras_registry, engine="litert")
    deploy(keras_registry, engine="tensorflow")
    back = services.roll_back_endpoint(endpoint="digits", actor="bob", reason="slower")
    assert (back.engine, back.traffic[0].version) == ("litert", 1)
    assert [r.engine for r in selectors.list_revisions("digits")] == ["litert", "tensorflow", "litert"]


@pytest.mark.parametrize(
    ("engine", "rule"),
    [
        ("cuda", "there is no engine 'cuda'; the engines are: auto, native, tensorflow"),
        ("torch", r"engine 'torch' does not run digits version 1 \(tensorflow\); what may: tensorflow, tensorflow_xla"),
    ],
)
def test_an_engine_that_cannot_run_the_version_is_refused(keras_registry: FakeRegistry, engine: str, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        deploy(keras_registry, engine=engine)
    assert selectors.list_endpoints() == []


def test_a_kept_pin_must_run_the_new_version_as_well(keras_registry: FakeRegistry) -> None:
    deploy(keras_registry, engine="litert")
    keras_registry.versions["digits", 2] = replace(keras_registry.versions["digits", 2], framework="torch")
    with pytest.raises(InvalidInputError, match=r"'litert' does not run digits version 2 \(torch\)"):
        deploy(keras_registry, "2")
    assert deploy(keras_registry, "2", engine="auto").traffic[0].version == 2


def test_what_runs_where_is_shown(keras_registry: FakeRegistry) -> None:
    deploy(keras_registry, engine="litert")
    ReplicaStatus.objects.create(
        replica="r1",
        endpoint="digits",
        version=1,
        state="ready",
        engine="litert, 1 thread",
        heartbeat_at=timezone.now(),
    )
    info = selectors.get_endpoint("digits")
    lines = endpoint_lines(info)
    assert "engine:     litert (pinned)" in lines
    assert "  r1  version 1  ready on litert, 1 thread" in lines
    assert "version 1: 100% on litert by ann" in revision_line(selectors.list_revisions("digits")[0])
