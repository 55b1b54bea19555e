"""Trains on a Kubernetes cluster: `kubernetes` makes each attempt a Job, `kubeflow` a TrainJob of Kubeflow Trainer v2.

Log, checkpoints and the run's folder are on the volume that the training app and its runs share; the lease, the
progress and the result go through the database, as everywhere. So a control plane that restarts finds its runs as
they are, and one that ordered an attempt twice has ordered it once: its name is run and fence.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from aiplatform.errors import UnavailableError
from training.launchers.base import MEMORY_EXIT_CODE, Handle, LaunchOrder, Liveness, ProcessEnd
from training.launchers.cluster import Cluster, Kind
from training.launchers.manifests import (
    TEMPLATES,
    Layout,
    Manifest,
    choose_layout,
    job_of,
    name_of,
    read_template,
    trainjob_of,
)
from training.processes import LOST_EXIT_CODE

OUT_OF_MEMORY = "OOMKilled"
INDEX_LABEL, LEADER = "batch.kubernetes.io/job-completion-index", "0"


@functools.cache
def connected(kubeconfig: str, namespace: str) -> Cluster:
    """Return the cluster of the settings, connected once a process."""
    return Cluster.connect(kubeconfig=kubeconfig, namespace=namespace)


class ClusterLauncher:
    """What Jobs and TrainJobs have in common."""

    ends_with_platform = False
    kind: ClassVar[Kind]
    template: ClassVar[str]
    manifest_kind: ClassVar[str]

    def __init__(self, cluster: Cluster | None = None) -> None:
        self._given = cluster

    @property
    def place(self) -> str:
        """Return the launcher's name: all attempts on the cluster are of one queue."""
        return f"cluster {self.kind.plural}"

    def measure_capacity(self) -> None:
        """Return nothing: the cluster's scheduler knows what is free."""

    def launch(self, order: LaunchOrder) -> Handle:
        """Order the attempt; the cluster starts it when there is room.

        Raises: InvalidConfigurationError (template, kubeconfig); UnavailableError if the cluster does not take it.
        """
        path = Path(settings.TRAINING_JOB_TEMPLATE or TEMPLATES / self.template)
        template = read_template(path, kind=self.manifest_kind)
        layout = choose_layout(order.workers, per_node=settings.TRAINING_WORKERS_PER_NODE)
        handle = Handle(host=self._host, pid=0, started=name_of(order))
        self._cluster.create(self.kind, self.fill(order, template, host=self._host, layout=layout))
        return handle

    def fill(self, order: LaunchOrder, template: Manifest, *, host: str, layout: Layout) -> Manifest:
        """Return the object of an attempt."""
        raise NotImplementedError

    def check(self, handle: Handle) -> Liveness:
        """Say whether an attempt is still to be done; UNKNOWN if the cluster does not answer."""
        if handle.host != self._host:
            return Liveness.UNKNOWN
        try:
            found = self._cluster.find(self.kind, handle.started)
        except UnavailableError:
            return Liveness.UNKNOWN
        return Liveness.DEAD if found is None or _has_ended(found) else Liveness.ALIVE

    def describe_wait(self, handle: Handle) -> str:
        """Return why the attempt's pod does not run yet, in the cluster's words; empty if it does, or nobody knows.

        Of many nodes it is the leader's pod: it says itself for which others it waits.
        """
        if handle.host != self._host:
            return ""
        try:
            pods = self._cluster.pods(self.kind, handle.started)
        except UnavailableError:
            return ""
        if not pods:
            return "waiting for the cluster to make a pod"
        pods = [pod for pod in pods if _index(pod) == LEADER] or pods
        phases = [pod.get("status", {}).get("phase") for pod in pods]
        if any(phase != "Pending" for phase in phases):
            return ""
        return f"waiting for the cluster: {_why_pending(pods[0])}"

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Delete the object: its pods get SIGTERM and their time, or are killed at once."""
        if handle.host == self._host:
            self._cluster.delete(self.kind, handle.started, grace_s=0 if force else None)

    def describe_end(self, order: LaunchOrder, *, oom_kills_before: int | None) -> ProcessEnd:
        """Return what the pod's containers say of their end."""
        try:
            pods = self._cluster.pods(self.kind, name_of(order))
        except UnavailableError:
            pods = []
        ends = [end for pod in pods for end in _container_ends(pod)]
        codes = [int(end.get("exitCode", 0)) for end in ends]
        failed = [code for code in codes if code]
        first = [code for code in failed if code != LOST_EXIT_CODE]  # the others ended because one was gone
        code = next(iter(first or failed or codes), None)
        # A container that was killed says 128 and the signal's number.
        return ProcessEnd(
            exit_code=128 - code if code is not None and code > 128 else code,
            is_out_of_memory=code == MEMORY_EXIT_CODE or any(end.get("reason") == OUT_OF_MEMORY for end in ends),
        )

    def count_oom_kills(self) -> int | None:
        """Return nothing: each pod says so of itself."""
        return None

    @property
    def _cluster(self) -> Cluster:
        return self._given or connected(settings.TRAINING_KUBECONFIG, settings.TRAINING_NAMESPACE)

    @property
    def _host(self) -> str:
        return f"{self.kind.plural}/{self._cluster.namespace}"


class KubernetesLauncher(ClusterLauncher):
    """A Job for each attempt."""

    kind = Kind(group="batch", version="v1", plural="jobs", pod_label="batch.kubernetes.io/job-name")
    template = "job.yaml"
    manifest_kind = "Job"

    def fill(self, order: LaunchOrder, template: Manifest, *, host: str, layout: Layout) -> Manifest:
        """Return the Job of an attempt."""
        return job_of(order, template, host=host, layout=layout)


class KubeflowLauncher(ClusterLauncher):
    """A TrainJob for each attempt."""

    kind = Kind(
        group="trainer.kubeflow.org", version="v1alpha1", plural="trainjobs", pod_label="jobset.sigs.k8s.io/jobset-name"
    )
    template = "trainjob.yaml"
    manifest_kind = "TrainJob"

    def fill(self, order: LaunchOrder, template: Manifest, *, host: str, layout: Layout) -> Manifest:
        """Return the TrainJob of an attempt."""
        return trainjob_of(order, template, host=host, layout=layout)


def _has_ended(found: Manifest) -> bool:
    """Say so of a Job or a TrainJob; both say it by the same conditions."""
    conditions = found.get("status", {}).get("conditions", [])
    return any(one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions)


def _index(pod: Manifest) -> str:
    """Return which node of its Job a pod is; the only one is the first."""
    return str(pod.get("metadata", {}).get("labels", {}).get(INDEX_LABEL, LEADER))


def _container_ends(pod: Manifest) -> list[dict[str, Any]]:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return [end for status in statuses if (end := status.get("state", {}).get("terminated"))]


def _why_pending(pod: Manifest) -> str:
    """Return what the scheduler, or the node that pulls the image, says."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason"):
            return f"{waiting['reason']} {waiting.get('message', '')}".strip()[:300]
    for condition in status.get("conditions", []):
        if condition.get("status") == "False" and condition.get("message"):
            return f"{condition.get('reason', '')} {condition['message']}".strip()[:300]
    return "the pod is pending"
