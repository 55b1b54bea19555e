"""What is asked of a cluster, as plain data: a template with a run's name, command and environment in their places."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aiplatform.errors import InvalidConfigurationError
from training.launchers.base import HOST_VARIABLE, LOG_VARIABLE, NAME_VARIABLE, LaunchOrder
from training.parallel.nodes import FIRST_PORT, HOSTS, PROCESSES
from training.resources.amounts import Ask

TEMPLATES = Path(__file__).parent / "templates"
GPU_RESOURCE = "nvidia.com/gpu"
TRAINER = "trainer"  # the container of a Job's template that trains
RUN_LABEL, FENCE_LABEL = "aiplatform.io/run", "aiplatform.io/fence"

SERVICE = "training-nodes"  # the headless Service that gives a Job's pods their names
NODE_PORT = 29400
JOBSET_NODES = "node"  # what Kubeflow calls the Job of a TrainJob's nodes

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """On how many nodes an attempt is, with how many processes each."""

    nodes: int = 1
    processes: int = 1


ONE_NODE = Layout()


def choose_layout(workers: int, *, per_node: int) -> Layout:
    """Return where so many processes are: on one node, or on as many as it takes with `per_node` each.

    Raises: InvalidConfigurationError if the last node would have fewer.
    """
    if workers <= per_node:
        return Layout(nodes=1, processes=workers)
    if workers % per_node:
        raise InvalidConfigurationError(
            f"workers must be at most TRAINING_WORKERS_PER_NODE, {per_node}, or a multiple of it, not {workers}"
        )
    return Layout(nodes=workers // per_node, processes=per_node)


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


def job_of(order: LaunchOrder, template: Manifest, *, host: str, layout: Layout = ONE_NODE) -> Manifest:
    """Return the Job of one attempt; on many nodes an indexed one, whose pods have names that last.

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
    if layout.nodes > 1:
        spec |= {"completionMode": "Indexed", "completions": layout.nodes, "parallelism": layout.nodes}
        service = pod["spec"].setdefault("subdomain", SERVICE)
        _place(trainer, [f"{name_of(order)}-{node}.{service}" for node in range(layout.nodes)], layout)
    return manifest


def trainjob_of(order: LaunchOrder, template: Manifest, *, host: str, layout: Layout = ONE_NODE) -> Manifest:
    """Return the TrainJob of one attempt; its pods' names come from the JobSet that Kubeflow makes of it."""
    manifest = _named(order, template)
    trainer = manifest.setdefault("spec", {}).setdefault("trainer", {})
    _fill(trainer, order, host=host)
    _ask(trainer, order.ask, key="resourcesPerNode")
    trainer["numNodes"] = layout.nodes
    if layout.nodes > 1:
        name = name_of(order)
        _place(trainer, [f"{name}-{JOBSET_NODES}-0-{node}.{name}" for node in range(layout.nodes)], layout)
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
    _set_environment(trainer, {HOST_VARIABLE: host, NAME_VARIABLE: name_of(order), LOG_VARIABLE: "run"})


def _place(trainer: Manifest, hosts: list[str], layout: Layout) -> None:
    """Say where all nodes are; which of them a pod is says the cluster, by JOB_COMPLETION_INDEX."""
    known = {HOSTS: ",".join(hosts), FIRST_PORT: str(NODE_PORT), PROCESSES: str(layout.processes)}
    _set_environment(trainer, known)


def _set_environment(trainer: Manifest, ours: dict[str, str]) -> None:
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
