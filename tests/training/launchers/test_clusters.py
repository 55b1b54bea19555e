"""Runs as Jobs and TrainJobs: whole runs through a cluster's API by hand, whose pods are processes here."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from django.utils import timezone

from aiplatform.errors import InvalidConfigurationError, UnavailableError
from tests.training.conftest import Bench
from tests.training.launchers.fake_cluster import FakeCluster
from training import doorbell, services
from training.launchers import clusters, get_launcher
from training.launchers.base import LaunchOrder, Liveness
from training.launchers.cluster import Cluster
from training.launchers.manifests import TEMPLATES, job_of, name_of, read_template, trainjob_of
from training.models import ModelVersion, Run
from training.resources.amounts import Ask
from training.states import ExitClass, RunState
from training.supervision import release_local_trainers

SHARED = Path(__file__).parents[4] / "shared"
ORDER = LaunchOrder(run_id=UUID("01234567-89ab-cdef-0123-456789abcdef"), fence=7, folder=Path("/data/runs/one"))
pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    fake = FakeCluster()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def remote(bench: Bench, cluster: FakeCluster, tmp_path: Path) -> Iterator[Bench]:
    clusters.connected.cache_clear()
    bench.limit(TRAINING_LAUNCHER="kubernetes")
    bench.settings.TRAINING_KUBECONFIG = str(cluster.write_kubeconfig(tmp_path / "kubeconfig"))
    bench.settings.TRAINING_NAMESPACE = "ml"
    yield bench
    clusters.connected.cache_clear()


@pytest.fixture(params=["kubernetes", "kubeflow"])
def either(request: pytest.FixtureRequest, remote: Bench) -> Bench:
    remote.limit(TRAINING_LAUNCHER=request.param)
    return remote


def test_a_run_is_trained_by_a_pod_with_its_log_and_its_version(either: Bench, cluster: FakeCluster) -> None:
    remote = either
    run = remote.until_ended(remote.start())
    assert run.state == RunState.SUCCEEDED, (run.exit_message, remote.log(run))
    assert [v.version for v in ModelVersion.objects.all()] == [1]
    assert "attempt 1 at run" in remote.log(run)
    plural = "jobs" if remote.settings.TRAINING_LAUNCHER == "kubernetes" else "trainjobs"
    assert cluster.created == [f"{plural}/train-{run.pk.hex[:20]}-1"]


def test_a_killed_pod_is_seen_and_the_run_goes_on_in_another(remote: Bench, cluster: FakeCluster) -> None:
    run = remote.until_epoch(remote.start(step_s=0.03), 1)
    next(iter(cluster.processes.values())).kill()
    run = remote.until_ended(run)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2), remote.log(run)
    assert remote.notes(run)[1].startswith("resumed at ")
    assert remote.notes(run)[1] != "resumed at 0"
    assert len(cluster.created) == len(set(cluster.created)) == 2


def test_a_pod_without_a_place_waits_longer_than_a_lease_and_says_for_what(either: Bench, cluster: FakeCluster) -> None:
    remote = either
    cluster.has_room = False
    run = remote.start()
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    run = remote.until(run, lambda r: "Insufficient nvidia.com/gpu" in str(r.progress.get("phase", "")))
    assert run.state == RunState.STARTING
    assert run.lease_expires_at is not None
    assert run.lease_expires_at > timezone.now()
    cluster.schedule()
    assert remote.until_ended(run).state == RunState.SUCCEEDED


def test_a_cancelled_run_that_waits_for_a_place_is_taken_out_of_the_cluster(
    remote: Bench, cluster: FakeCluster
) -> None:
    remote.limit(TRAINING_STOP_GRACE_S=0.3)
    cluster.has_room = False
    run = remote.start()
    services.cancel_run(run)
    run = remote.until_ended(run)
    assert run.state == RunState.CANCELLED
    assert cluster.objects == {}


def test_a_running_one_is_cancelled_at_its_next_step(remote: Bench, cluster: FakeCluster) -> None:
    run = remote.until_epoch(remote.start(epochs=1000, step_s=0.02), 1)
    services.cancel_run(run)
    assert remote.until_ended(run).state == RunState.CANCELLED


def test_memory_that_ran_out_is_told(remote: Bench, cluster: FakeCluster) -> None:
    run = remote.until_epoch(remote.start(epochs=1000, step_s=0.02), 1)
    cluster.out_of_memory.update(cluster.processes)
    next(iter(cluster.processes.values())).kill()
    run = remote.until_ended(run)
    assert (run.state, run.exit_class) == (RunState.FAILED, ExitClass.OUT_OF_MEMORY)
    assert run.exit_message.startswith("out of memory at epoch")


def test_a_cluster_that_is_away_for_a_while_loses_no_run(remote: Bench, cluster: FakeCluster) -> None:
    run = remote.until_epoch(remote.start(epochs=4, step_s=0.02), 1)
    cluster.is_down = True
    run = remote.until(run, lambda r: remote.checkpoint(r) >= 3)
    assert (run.attempt, run.is_ended) == (1, False)
    cluster.is_down = False
    run = remote.until_ended(run)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)


def test_a_cluster_that_takes_no_order_fails_the_run_with_its_words(remote: Bench, cluster: FakeCluster) -> None:
    cluster.is_down = True
    run = remote.start()
    assert (run.state, run.exit_class) == (RunState.FAILED, ExitClass.FAILED)
    assert "could not be started: the cluster did not create: 503 the API server is shutting down" in run.exit_message


def test_the_same_attempt_ordered_twice_is_one_object(remote: Bench, cluster: FakeCluster) -> None:
    cluster.has_room = False
    launcher = get_launcher()
    assert launcher.launch(ORDER) == launcher.launch(ORDER)
    assert len(cluster.objects) == 1


def test_a_platform_that_stops_leaves_its_runs_in_the_cluster_alone(remote: Bench, cluster: FakeCluster) -> None:
    run = remote.until_epoch(remote.start(epochs=3, step_s=0.03), 1)
    assert release_local_trainers() == 0
    assert cluster.deleted == []
    assert remote.until_ended(run).attempt == 1


def test_a_process_of_another_place_is_not_known(remote: Bench) -> None:
    remote.settings.TRAINING_NAMESPACE = "ml"
    launcher = get_launcher()
    handle = launcher.launch(ORDER)
    remote.settings.TRAINING_NAMESPACE = "other"
    assert get_launcher().check(handle) is Liveness.UNKNOWN


def test_a_pods_signal_is_told_as_a_signal(remote: Bench, cluster: FakeCluster) -> None:
    launcher = get_launcher()
    handle = launcher.launch(ORDER)
    process = next(iter(cluster.processes.values()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert launcher.check(handle) is Liveness.DEAD
    assert launcher.describe_end(ORDER, oom_kills_before=None).exit_code == -9


@pytest.mark.parametrize(("name", "kind"), [("job.yaml", "Job"), ("trainjob.yaml", "TrainJob")])
def test_what_a_run_asks_for_is_asked_of_the_cluster_and_the_rest_is_the_templates(name: str, kind: str) -> None:
    template = read_template(TEMPLATES / name, kind=kind)
    fill = job_of if kind == "Job" else trainjob_of

    def amounts(ask: Ask) -> Any:
        filled = fill(replace(ORDER, ask=ask), template, host="jobs/ml")
        if kind == "TrainJob":
            return filled["spec"]["trainer"]["resourcesPerNode"]
        return filled["spec"]["template"]["spec"]["containers"][0]["resources"]

    plain, asked = amounts(Ask()), amounts(Ask(cores=1.5, memory_bytes=2**30, gpus=2))
    assert asked["requests"]["cpu"] == "1500m"
    assert asked["requests"]["memory"] == asked["limits"]["memory"] == str(2**30)
    assert asked["limits"]["nvidia.com/gpu"] == 2
    others = {"cpu", "memory", "nvidia.com/gpu"}
    for part in ("requests", "limits"):
        kept = {name: amount for name, amount in asked[part].items() if name not in others}
        assert kept == {name: amount for name, amount in plain[part].items() if name not in others}
    assert amounts(Ask(cores=1))["limits"] == plain["limits"]
    assert "nvidia.com/gpu" not in amounts(Ask(gpus=0)).get("limits", {})


def test_a_cluster_has_so_many_attempts_ordered_as_it_has_slots(remote: Bench, cluster: FakeCluster) -> None:
    cluster.has_room = False
    remote.limit(TRAINING_SLOTS=1)
    first, second = remote.start(), remote.create()
    assert "1 of 1 attempts are ordered (TRAINING_SLOTS)" in doorbell.answer(str(second.pk))
    assert len(cluster.objects) == 1
    services.cancel_run(remote.fresh(first))
    remote.until_ended(first)
    assert doorbell.answer(str(second.pk)).startswith("started")


@pytest.mark.parametrize(("name", "kind"), [("job.yaml", "Job"), ("trainjob.yaml", "TrainJob")])
def test_what_is_ordered_is_valid_to_the_last_field(name: str, kind: str, tmp_path: Path) -> None:
    template = read_template(TEMPLATES / name, kind=kind)
    fill = job_of if kind == "Job" else trainjob_of
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(fill(ORDER, template, host="jobs/ml")))
    if kind == "Job":
        command = [str(Path(sys.executable).with_name("kubernetes-validate")), "--strict", str(path)]
    else:
        if not SHARED.exists():
            pytest.skip("the definition of a TrainJob is not here")
        schema = SHARED / "schemas/kubeflow-trainer-trainjobs-crd.yaml"
        tool = SHARED / "tools/validate_custom_resource.py"
        command = [sys.executable, str(tool), str(schema), "v1alpha1", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_users_template_keeps_what_is_his(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "kind: Job\nspec: {backoffLimit: 5, template: {metadata: {labels: {team: x}}, spec: {nodeSelector: {gpu: a100},"
        " containers: [{name: trainer, image: mine, env: [{name: A, value: b}, {name: TRAINER_LOG, value: no}],"
        " resources: {limits: {nvidia.com/gpu: 1}}}]}}}"
    )
    spec = job_of(ORDER, read_template(path, kind="Job"), host="jobs/ml")["spec"]
    pod = spec["template"]
    trainer = pod["spec"]["containers"][0]
    assert (spec["backoffLimit"], pod["spec"]["restartPolicy"]) == (0, "Never")
    assert (pod["metadata"]["labels"]["team"], pod["spec"]["nodeSelector"]) == ("x", {"gpu": "a100"})
    assert (trainer["image"], trainer["resources"]) == ("mine", {"limits": {"nvidia.com/gpu": 1}})
    assert [one["name"] for one in trainer["env"]] == ["A", "TRAINER_HOST", "TRAINER_NAME", "TRAINER_LOG"]
    assert len(name_of(ORDER)) <= 40


def test_templates_and_kubeconfigs_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigurationError, match="cannot be read"):
        read_template(tmp_path / "none.yaml", kind="Job")
    (tmp_path / "pod.yaml").write_text("kind: Pod")
    with pytest.raises(InvalidConfigurationError, match="must be one Job, not Pod"):
        read_template(tmp_path / "pod.yaml", kind="Job")
    with pytest.raises(InvalidConfigurationError, match="container 'trainer'; it has: other"):
        job_of(ORDER, {"spec": {"template": {"spec": {"containers": [{"name": "other"}]}}}}, host="h")
    with pytest.raises(InvalidConfigurationError, match="no cluster: TRAINING_KUBECONFIG="):
        Cluster.connect(kubeconfig=str(tmp_path / "none"), namespace="")


@pytest.mark.django_db
def test_a_cluster_that_cannot_be_reached_is_unknown_not_dead(tmp_path: Path, cluster: FakeCluster) -> None:
    path = cluster.write_kubeconfig(tmp_path / "kubeconfig")
    here = Cluster.connect(kubeconfig=str(path), namespace="ml")
    launcher = clusters.KubernetesLauncher(here)
    cluster.has_room = False
    handle = launcher.launch(ORDER)
    cluster.is_down = True
    assert launcher.check(handle) is Liveness.UNKNOWN
    assert launcher.describe_wait(handle) == ""
    with pytest.raises(UnavailableError, match="503"):
        launcher.stop(handle, force=False)
