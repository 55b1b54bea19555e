"""Rows for tests that need a registry and no process."""

from __future__ import annotations

from typing import Any

from training.models import ModelVersion, RegisteredModel, Run
from training.states import RunState, VersionState

from .stand_in import RECIPE

LINEAGE = {
    "run_id": "r", "recipe": RECIPE, "parameters": {"epochs": 3}, "data_uri": "digits", "data_fingerprint": "sha256:1",
    "code_commit": "abc", "packages": {"numpy": "2"}, "seed": 4,
}  # fmt: skip


def make_run(**fields: Any) -> Run:
    """Return a run."""
    defaults = {"recipe": RECIPE, "data_uri": "digits", "model_name": "mnist", "parameters": {"epochs": 3}}
    return Run.objects.create(**{**defaults, **fields})


def make_version(model: str = "mnist", *, is_ready: bool = True, **fields: Any) -> ModelVersion:
    """Return the next version of a model."""
    registered, _ = RegisteredModel.objects.get_or_create(name=model)
    registered.last_version += 1
    registered.save()
    number = registered.last_version
    defaults: dict[str, Any] = {
        "state": VersionState.READY if is_ready else VersionState.PENDING,
        "artifact_uri": f"file:///store/{model}/{number}", "artifact_digest": f"sha256:{number}",
        "framework": "tensorflow", "task": "image_classification", "metrics": {"accuracy": 0.9},
        "manifest": {"labels": ["0", "1"], "lineage": LINEAGE},
    }  # fmt: skip
    if "run" not in fields:
        fields["run"] = make_run(model_name=model, state=RunState.SUCCEEDED)
    return ModelVersion.objects.create(model=registered, version=number, **{**defaults, **fields})
