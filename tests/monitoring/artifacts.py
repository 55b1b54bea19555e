"""A small artifact on disk whose profile can serve as a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import Lineage, Manifest
from aiplatform.calibration import Calibration
from aiplatform.embeddings import embedding_columns
from aiplatform.profiles import DataProfile
from aiplatform.tensors import DType, Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 8, 8, 1)),),
    outputs=(TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 10)),),
)
LINEAGE = Lineage(
    run_id="run-1", recipe="keras_cnn", parameters={"epochs": 3}, data_uri="digits", data_fingerprint="sha256:d",
    code_commit="abc", packages={}, seed=1,
)  # fmt: skip


def write_artifact(
    folder: Path,
    features: Mapping[str, np.ndarray] | None,
    outputs: Mapping[str, np.ndarray] | None = None,
    *,
    metrics: Mapping[str, float] | None = None,
    calibration: Calibration | None = None,
    embeddings: np.ndarray | None = None,
) -> tuple[str, str]:
    """Return (uri, digest) of a committed artifact with this training data's profile; None: with no profile."""
    profile = DataProfile()
    profile.update(features or {}, {**(outputs or {}), **({} if embeddings is None else embedding_columns(embeddings))})
    uri = f"file://{folder / 'artifact'}"
    with stage_artifact(uri) as staged:
        if features is not None:
            staged.write_profile(profile.to_dict())
        if calibration is not None:
            staged.write_calibration(calibration)
        if embeddings is not None:
            staged.write_embeddings(embeddings)
        manifest = Manifest(
            name="digits-model", version=1, framework="tensorflow", model_format="saved_model",
            task="image_classification", signature=SIGNATURE, lineage=LINEAGE, metrics=metrics or {},
        )  # fmt: skip
        digest = staged.commit(manifest)
    return uri, digest
