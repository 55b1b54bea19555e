"""A run as MLflow knows runs: parameters, metrics over steps, tags, and a folder of artifacts with the model.

The model goes out as ONNX, which `mlflow.pyfunc` and `mlflow.onnx` load with no more than onnxruntime; where there is
no way to ONNX, the platform's own artifact lies there without a flavor. Only plain files are written: MLflow is not
needed here.
Source of the layout: MLflow's documentation, "MLflow Models: storage format" (MLmodel, python_env.yaml).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.utils import timezone

from aiplatform.errors import ConflictError, InvalidConfigurationError
from training.cli.texts import ready_version
from training.exporting.messages import ExportForm
from training.exports import ExportWish, export_converted
from training.models import ModelVersion, Run, RunEvaluation
from training.registry import export_version
from training.selectors import list_epochs

MODEL = "model"
ONNX_FILE = "model.onnx"
LONGEST_VALUE = 6000  # of a parameter, as MLflow takes it
STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One value of a metric; the time is in milliseconds since the epoch."""

    key: str
    value: float
    at_ms: int
    step: int


@dataclass(frozen=True, kw_only=True)
class MlflowRun:
    """What MLflow is told of a run. `run_id` is the platform's own, as 32 hexadecimal digits."""

    run_id: str
    name: str
    experiment: str
    user: str
    status: str
    started_ms: int
    ended_ms: int
    parameters: dict[str, str]
    metrics: tuple[Metric, ...]
    tags: dict[str, str]


def describe_run(run: Run) -> MlflowRun:
    """Return a run that has ended for MLflow; its experiment is named as the model.

    Raises: ConflictError if it has not ended.
    """
    if not run.is_ended:
        raise ConflictError(
            f"run {run.short_id} is {run.get_state_display().lower()}; only one that has ended is exported"
        )
    ended_at = run.ended_at or timezone.now()
    order = {"recipe": run.recipe, "data_uri": run.data_uri, "target": run.target, "seed": run.seed}
    parameters = {**run.parameters, **{name: value for name, value in order.items() if value != ""}}
    return MlflowRun(
        run_id=run.id.hex,
        name=f"{run.recipe.rpartition(':')[2]}-{run.short_id}",
        experiment=run.model_name,
        user=run.requested_by or "aiplatform",
        status=STATUS[run.state],
        started_ms=_ms(run.started_at or run.created_at),
        ended_ms=_ms(ended_at),
        parameters={name: str(value)[:LONGEST_VALUE] for name, value in parameters.items()},
        metrics=tuple(_metrics(run, _ms(ended_at))),
        tags=_tags(run),
    )


def write_artifacts(run: Run, folder: Path) -> list[str]:
    """Write what belongs to a run into a folder; return sentences on what was left out.

    Writes `model/` with an MLmodel file if the run has a version, and `confusion_matrix.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = RunEvaluation.objects.filter(run=run).first()
    if evaluation is not None and evaluation.confusion_matrix:
        matrix = {"labels": evaluation.labels, "counts": evaluation.confusion_matrix}
        (folder / "confusion_matrix.json").write_text(json.dumps(matrix, indent=1))
    found = ready_version(run)
    if found is None:
        return ["the run has no version, so there is no model"]
    return _write_model(run, found, folder / MODEL)


def _write_model(run: Run, found: ModelVersion, folder: Path) -> list[str]:
    wish = ExportWish(form=ExportForm.ONNX, target=folder / ONNX_FILE)
    name, number = found.model.name, str(found.version)
    try:
        export_converted(model_name=name, reference=number, wish=wish)
    except InvalidConfigurationError as error:
        export_version(model_name=name, reference=number, folder=folder / "artifact")
        return [f"the model is there as the platform's own artifact, without a flavor: {error.message}"]
    (folder / "MLmodel").write_text(json.dumps(ml_model(run, found), indent=1))  # JSON is YAML
    needs = [f"onnx=={_version('onnx')}", f"onnxruntime=={_version('onnxruntime')}", "mlflow", "numpy"]
    (folder / "requirements.txt").write_text("\n".join(needs) + "\n")
    (folder / "python_env.yaml").write_text(
        json.dumps({"python": platform.python_version(), "dependencies": ["-r requirements.txt"]})
    )
    conda = {"name": "mlflow-env", "dependencies": [f"python={platform.python_version()}", "pip", {"pip": needs}]}
    (folder / "conda.yaml").write_text(json.dumps(conda))
    return []


def ml_model(run: Run, found: ModelVersion) -> dict[str, Any]:
    """Return the MLmodel of a version that lies beside it as ONNX."""
    signature = found.manifest["signature"]
    onnx = {
        "onnx_version": _version("onnx"), "data": ONNX_FILE, "providers": ["CPUExecutionProvider"],
        "onnx_session_options": None, "code": None,
    }  # fmt: skip
    python = {
        "loader_module": "mlflow.onnx", "data": ONNX_FILE, "python_version": platform.python_version(),
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    }  # fmt: skip
    return {
        "artifact_path": MODEL,
        "run_id": run.id.hex,
        "utc_time_created": f"{found.created_at:%Y-%m-%d %H:%M:%S.%f}",
        "flavors": {"onnx": onnx, "python_function": python},
        "signature": {side: json.dumps([_tensor(spec) for spec in signature[side]]) for side in ("inputs", "outputs")},
        "metadata": {"model": found.model.name, "version": found.version, "labels": list(found.labels)},
    }


def _tensor(spec: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"FP32": "float32", "FP64": "float64", "FP16": "float16", "BYTES": "str", "BOOL": "bool"}
    dtype = kinds.get(spec["dtype"], str(spec["dtype"]).lower())
    return {
        "name": spec["name"], "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(spec["shape"])},
    }  # fmt: skip


def _metrics(run: Run, ended_ms: int) -> list[Metric]:
    told = [
        Metric(key=name, value=float(value), at_ms=_ms(epoch.recorded_at), step=epoch.epoch)
        for epoch in list_epochs(run)
        for name, value in epoch.values.items()
        if value is not None
    ]
    found = ready_version(run)
    evaluation = RunEvaluation.objects.filter(run=run).first()
    tested = found.metrics if found else evaluation.metrics if evaluation else {}
    return told + [
        Metric(key=f"test_{name}", value=float(value), at_ms=ended_ms, step=0)
        for name, value in tested.items()
        if value is not None
    ]


def _tags(run: Run) -> dict[str, str]:
    tags = {
        "mlflow.user": run.requested_by or "aiplatform",
        "mlflow.runName": f"{run.recipe.rpartition(':')[2]}-{run.short_id}",
        "mlflow.source.name": run.recipe,
        "mlflow.source.git.commit": run.code_commit,
        "mlflow.note.content": run.notes,
        "aiplatform.run": str(run.pk),
        "aiplatform.data_fingerprint": run.data_fingerprint,
        "aiplatform.tags": ", ".join(run.tag_names),
        "aiplatform.exit_message": run.exit_message,
    }
    return {name: value for name, value in tags.items() if value}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "0"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
