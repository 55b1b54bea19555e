"""What is asked of a cluster, as plain data: a template with a run's name, command and environment in their places."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from aiplatform.errors import InvalidConfigurationError
from training.launchers.base import HOST_VARIABLE, LOG_VARIABLE, NAME_VARIABLE, LaunchOrder
from training.resources.amounts import Ask

TEMPLATES = Path(__file__).parent / "templates"
GPU_RESOURCE = "nvidia.com/gpu"
TRAINER = "trainer"  # the container of a Job's template that trains
RUN_LABEL, FENCE_LABEL = "aiplatform.io/run", "aiplatform.io/fence"

Manifest = dict[str, Any]


def read_template(path: Path, *, kind: str) -> Manifest:
    """Return the manifest of a file.

    Raises: InvalidConfigurationError if it cannot be read, or is not one of that kind.
    """
    try:
        manifest = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidConfigurationError(f"TRAINING_JOB_TEMPLATE: {path} cannot be read: {error}") from error
    found = manifest.get("kind") if isinstance(manifest, dict) else type(manifest).__name__
    if not isinstance(manifest, dict) or found != kind:
        raise InvalidConfigurationError(f"TRAINING_JOB_TEMPLATE: {path} must be one {kind}, not {found}")
    return manifest


def name_of(order: LaunchOrder) -> str:
    """Return the name of one attempt in a cluster: the same order twice is the same object."""
    return f"train-{order.run_id.hex[:20]}-{order.fence}"


def job_of(order: LaunchOrder, template: Manifest, *, host: str) -> Manifest:
    """Return the Job of one attempt.

    Raises: InvalidConfigurationError if the template has no container `trainer`.
    """
    manifest = _named(order, template)
    spec = manifest.setdefault("spec", {})
    spec["backoffLimit"] = 0  # the platform itself tries again, from a checkpoint, under a new fence
    pod = spec.setdefault("template", {})
    pod.setdefault("metadata", {}).setdefault("labels", {}).update(manifest["metadata"]["labels"])
    pod.setdefault("spec", {})["restartPolicy"] = "Never"
    containers = pod["spec"].get("containers", [])
    trainer = next((one for one in containers if one.get("name") == TRAINER), None)
    if trainer is None:
        names = ", ".join(str(one.get("name")) for one in containers) or "none"
        raise InvalidConfigurationError(
            f"TRAINING_JOB_TEMPLATE: a Job's template must have a container '{TRAINER}'; it has: {names}"
        )
    _fill(trainer, order, host=host)
    _ask(trainer, order.ask, key="resources")
    return manifest


def trainjob_of(order: LaunchOrder, template: Manifest, *, host: str) -> Manifest:
    """Return the TrainJob of one attempt."""
    manifest = _named(order, template)
    trainer = manifest.setdefault("spec", {}).setdefault("trainer", {})
    _fill(trainer, order, host=host)
    _ask(trainer, order.ask, key="resourcesPerNode")
    return manifest


def _named(order: LaunchOrder, template: Manifest) -> Manifest:
    manifest = copy.deepcopy(template)
    metadata = manifest.setdefault("metadata", {})
    metadata["name"] = name_of(order)
    metadata.setdefault("labels", {}).update(
        {"app.kubernetes.io/name": "training-run", RUN_LABEL: str(order.run_id), FENCE_LABEL: str(order.fence)}
    )
    return manifest


def _fill(trainer: Manifest, order: LaunchOrder, *, host: str) -> None:
    trainer["command"] = ["python", "-m", "training.trainer"]
    trainer["args"] = [str(order.run_id), str(order.fence)]
    ours = {HOST_VARIABLE: host, NAME_VARIABLE: name_of(order), LOG_VARIABLE: "run"}
    kept = [one for one in trainer.get("env", []) if one.get("name") not in ours]
    trainer["env"] = kept + [{"name": name, "value": value} for name, value in ours.items()]


def _ask(trainer: Manifest, ask: Ask, *, key: str) -> None:
    """Have the cluster know what was ordered; what was not stays as the template has it."""
    cores = {} if ask.cores is None else {"cpu": f"{round(1000 * ask.cores)}m"}
    memory = {} if ask.memory_bytes is None else {"memory": str(ask.memory_bytes)}
    gpus = {} if not ask.gpus else {GPU_RESOURCE: ask.gpus}
    for part, more in (("requests", cores | memory), ("limits", memory | gpus)):
        if more:
            trainer.setdefault(key, {}).setdefault(part, {}).update(more)
    if ask.gpus == 0:
        trainer.get(key, {}).get("limits", {}).pop(GPU_RESOURCE, None)
