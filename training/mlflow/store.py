"""Writes a run into a folder as MLflow's file store keeps runs: `mlflow ui --backend-store-uri FOLDER` shows it.

FOLDER/EXPERIMENT/meta.yaml
                  RUN/meta.yaml, params/NAME, metrics/NAME (time value step), tags/NAME, artifacts/
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from aiplatform.errors import ConflictError, InvalidInputError
from training.mlflow.record import MlflowRun, describe_run, write_artifacts
from training.models import Run

_STATUS_NUMBERS = {"FINISHED": 3, "FAILED": 4, "KILLED": 5}


def export_to_folder(run: Run, store: Path) -> tuple[Path, list[str]]:
    """Write a run below a store's folder; return its own folder and sentences on what was left out.

    Raises: ConflictError if the run is there already, or has not ended; InvalidInputError if the folder refuses.
    """
    described = describe_run(run)
    experiment = store.absolute() / experiment_id(described.experiment)
    folder = experiment / described.run_id
    if folder.exists():
        raise ConflictError(f"{folder} exists already; the run was exported before")
    staged = experiment / f".{described.run_id}"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        _write_experiment(experiment, described)
        left_out = write_artifacts(run, staged / "artifacts")
        _write_run(staged, folder, described)
        staged.rename(folder)
    except OSError as error:
        raise InvalidInputError(f"could not write to {store}: {error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder, left_out


def experiment_id(name: str) -> str:
    """Return an experiment's number, 18 digits that follow from its name: exports in turn meet in one."""
    return str(10**17 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % (9 * 10**17))


def _write_experiment(folder: Path, described: MlflowRun) -> None:
    if (folder / "meta.yaml").exists():
        return
    _write_yaml(folder / "meta.yaml", {
        "artifact_location": _uri(folder), "creation_time": described.started_ms, "experiment_id": folder.name,
        "last_update_time": described.started_ms, "lifecycle_stage": "active", "name": described.experiment,
    })  # fmt: skip


def _write_run(staged: Path, folder: Path, described: MlflowRun) -> None:
    _write_yaml(staged / "meta.yaml", {
        "artifact_uri": _uri(folder / "artifacts"), "end_time": described.ended_ms, "entry_point_name": "",
        "experiment_id": folder.parent.name, "lifecycle_stage": "active", "run_id": described.run_id,
        "run_name": described.name, "run_uuid": described.run_id, "source_name": "", "source_type": 4,
        "source_version": "", "start_time": described.started_ms, "status": _STATUS_NUMBERS[described.status],
        "tags": [], "user_id": described.user,
    })  # fmt: skip
    _write_texts(staged / "params", described.parameters.items())
    _write_texts(staged / "tags", described.tags.items())
    metrics: dict[str, list[str]] = {}
    for metric in described.metrics:
        metrics.setdefault(metric.key, []).append(f"{metric.at_ms} {metric.value!r} {metric.step}\n")
    _write_texts(staged / "metrics", ((name, "".join(lines)) for name, lines in metrics.items()))


def _write_texts(folder: Path, texts: Iterable[tuple[str, str]]) -> None:
    folder.mkdir()
    for name, text in texts:
        (folder / name).write_text(text)


def _write_yaml(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=1))  # JSON is YAML


def _uri(path: Path) -> str:
    return "file://" + quote(str(path))
