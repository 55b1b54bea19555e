"""Puts the benchmark's model into the registry as a trained one would get there, without training.

Run by the benchmarks in the platform's own environment, after `manage.py migrate`:

    python -m benchmarks.register MODEL_FOLDER --name cnn [--name cnn-2 ...] [--versions 2]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import django
import numpy as np

from benchmarks.model import CLASSES, INPUT, OUTPUT, SIDE

if TYPE_CHECKING:
    from training.recipes.api import TrainedModel

WARMUP_ROWS = 8


def main() -> None:
    """Register what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `python -m benchmarks.model` wrote")
    parser.add_argument("--name", action="append", required=True, dest="names")
    parser.add_argument("--versions", type=int, default=1, help="versions of each name, all alike")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    django.setup()
    for name in options.names:
        for _ in range(options.versions):
            register(options.folder, name)


def register(folder: Path, name: str) -> int:
    """Publish the model under a name; return the version's number."""
    from django.db import transaction

    from training.leases import claim_run
    from training.models import Run
    from training.provenance import package_versions
    from training.publishing import Origin, publish_model

    with transaction.atomic():  # queued and claimed in one: no supervisor may take it for a training
        run = Run.objects.create(
            recipe="benchmark", data_uri="none", model_name=name, attempts_left=1, requested_by="benchmark"
        )
        claim = claim_run(run.pk)
    if claim is None:
        raise RuntimeError(f"run {run.pk} was taken by another process")
    run.refresh_from_db()
    with tempfile.TemporaryDirectory() as scratch:
        version = publish_model(
            run,
            claim,
            trained_model(folder),
            Origin(code_commit="", packages=package_versions()),
            scratch=Path(scratch),
        )
    return int(version.version)


def trained_model(folder: Path) -> TrainedModel:
    """Return the model as a recipe would hand it over, with its profile and warm-up samples."""
    from aiplatform.features import extract_features, summarise_predictions
    from aiplatform.profiles import DataProfile
    from aiplatform.tensors import DType, Signature, TensorSpec
    from training.recipes.api import TrainedModel

    with np.load(folder / "samples.npz") as samples:
        inputs, outputs = {INPUT: samples[INPUT]}, {OUTPUT: samples[OUTPUT]}

    def copy_model(target: Path) -> None:
        shutil.copytree(folder / "saved_model", target, dirs_exist_ok=True)

    labels = tuple(map(str, range(CLASSES)))
    profile = DataProfile()
    said = summarise_predictions(outputs, labels)
    columns = {"label": np.array(said.labels, dtype=object), "confidence": np.array(said.confidences)}
    profile.update(extract_features(inputs), columns)
    return TrainedModel(
        framework="tensorflow",
        model_format="saved_model",
        task="image_classification",
        signature=Signature(
            inputs=(TensorSpec(name=INPUT, dtype=DType.FP32, shape=(-1, SIDE, SIDE, 1)),),
            outputs=(TensorSpec(name=OUTPUT, dtype=DType.FP32, shape=(-1, CLASSES)),),
        ),
        labels=labels,
        image=None,
        metrics={},
        parameters={},
        data_fingerprint="",
        profile=profile,
        warmup_inputs={name: array[:WARMUP_ROWS] for name, array in inputs.items()},
        warmup_outputs={name: array[:WARMUP_ROWS] for name, array in outputs.items()},
        save_model=copy_model,
    )


if __name__ == "__main__":
    main()
