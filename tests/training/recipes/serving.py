"""Opens what a recipe wrote with the serving side's own engines."""

from __future__ import annotations

from pathlib import Path

from aiplatform.artifacts import Lineage, Manifest
from inference.compiling.steps import convert_model
from inference.engines import Engine, EngineKind, EngineOptions, native_kind, open_engine
from training.recipes.api import TrainedModel


def manifest_of(model: TrainedModel) -> Manifest:
    """Return the manifest that publishing would write."""
    lineage = Lineage(
        run_id="", recipe="", parameters={}, data_uri="", data_fingerprint="", code_commit="", packages={}, seed=0
    )
    return Manifest(
        name="tried", version=1, framework=model.framework, model_format=model.model_format, task=model.task,
        signature=model.signature, lineage=lineage, labels=model.labels, image=model.image,
        text_bytes=dict(model.text_bytes), embedding=model.embedding,
    )  # fmt: skip


def open_as(kind: EngineKind | None, model: TrainedModel, folder: Path) -> Engine:
    """Return an engine of a kind, converted if need be; None: the model's own."""
    manifest = manifest_of(model)
    kind = kind or native_kind(manifest)
    files = convert_model(kind, folder, manifest, folder.with_name(f"{folder.name}-{kind}"))
    return open_engine(kind, files, manifest, EngineOptions(threads=1))
