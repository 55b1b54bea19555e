"""Runs on many nodes: a Job's pods are processes here, and learn together what one process learns."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from aiplatform.errors import InvalidConfigurationError
from tests.training.conftest import Bench
from tests.training.data.pictures import write_bars
from tests.training.launchers.fake_cluster import FakeCluster
from tests.training.launchers.test_clusters import ORDER, SHARED
from tests.training.parallel.sharing_softmax import PATH
from tests.training.recipes.reporters import RememberingReporter
from training import doorbell, services
from training.launchers import clusters, get_launcher
from training.launchers.manifests import TEMPLATES, Layout, choose_layout, job_of, read_template, trainjob_of
from training.learning import learn
from training.models import EpochMetrics, ModelVersion, Run
from training.recipes.api import TrainingOrder
from training.services import RunOrder, create_run
from training.states import ExitClass, RunState

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
PATIENCE_S = 180.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    fake = FakeCluster(folder=tmp_path)
    fake.start()
    yield fake
    fake.stop()


class Site:
    """A platform that trains on a cluster, with real learning."""

    def __init__(self, bench: Bench, cluster: FakeCluster, data: Path) -> None:
        self.bench, self.cluster, self.data = bench, cluster, data

    def start(self, recipe: str = PATH, **parameters: Any) -> Run:
        given = {"epochs": 3, "batch_size": 61, "workers": 2, **parameters}
        order = RunOrder(recipe=recipe, parameters=given, data_uri=str(self.data), model_name="bars", seed=7)
        run = create_run(order)
        doorbell.answer(str(run.pk))
        return self.bench.fresh(run)

    def until_ended(self, run: Run, *, timeout_s: float = PATIENCE_S) -> Run:
        return self.bench.until_ended(run, timeout_s=timeout_s)

    def until_learning(self, run: Run, epoch: int = 1) -> Run:
        """Wait until an epoch is done; supervision looks on."""
        return self.bench.until(run, lambda r: len(self.losses(r)) >= epoch, timeout_s=PATIENCE_S)

    def losses(self, run: Run) -> list[float]:
        return [epoch.values["loss"] for epoch in EpochMetrics.objects.filter(run=run).order_by("epoch")]

    def alone(self, run: Run, folder: Path) -> list[float]:
        """Return the losses of the same run in one process."""
        parameters = {**run.parameters, "workers": 1}
        order = TrainingOrder(
            recipe=run.recipe, parameters=parameters, data_uri=str(self.data), target=None, seed=7, work_dir=folder
        )
        return [epoch["loss"] for epoch in learn(order, RememberingReporter()).history]

    def told(self, run: Run) -> str:
        """Return all that was written, for a test that fails."""
        pods = {name: path.read_text()[-2000:] for name, path in self.cluster.outputs.items()}
        return f"{run.exit_message}\n{self.bench.log(run)}\n{pods}"

    def pods(self) -> dict[str, subprocess.Popen[bytes]]:
        return self.cluster.processes


@pytest.fixture
def site(bench: Bench, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    clusters.connected.cache_clear()
    monkeypatch.setenv("TEST_LEARN", "training.learning.learn")
    bench.limit(TRAINING_LAUNCHER="kubernetes", TRAINING_LEASE_S=60.0, TRAINING_STOP_GRACE_S=90.0)
    bench.settings.TRAINING_KUBECONFIG = str(cluster.write_kubeconfig(tmp_path / "kubeconfig"))
    bench.settings.TRAINING_NAMESPACE = "ml"
    data = tmp_path / "bars.npz"
    write_bars(data)
    yield Site(bench, cluster, data)
    clusters.connected.cache_clear()


@pytest.mark.parametrize("launcher", ["kubernetes", "kubeflow"])
def test_two_pods_learn_what_one_process_learns(site: Site, launcher: str, tmp_path: Path) -> None:
    site.bench.limit(TRAINING_LAUNCHER=launcher)
    run = site.until_ended(site.start())
    assert run.state == RunState.SUCCEEDED, site.told(run)
    assert len(site.cluster.created) == 1
    assert len(site.pods()) == 2
    name = site.cluster.created[0].split("/")[1]
    wanted = f"{name}-0.training-nodes,{name}-1.training-nodes"
    if launcher == "kubeflow":
        wanted = f"{name}-node-0-0.{name},{name}-node-0-1.{name}"
    assert list(site.cluster.names.values()) == [wanted]
    (tmp_path / "alone").mkdir()
    assert site.losses(run) == pytest.approx(site.alone(run, tmp_path / "alone"), rel=1e-9)
    assert [version.version for version in ModelVersion.objects.all()] == [1]
    assert "a team of 2 processes shares each batch, on 2 nodes" in site.bench.log(run)
    assert [process.wait(30) for process in site.pods().values()] == [0, 0]


def test_nodes_may_have_many_processes(site: Site, tmp_path: Path) -> None:
    site.bench.limit(TRAINING_WORKERS_PER_NODE=2)
    run = site.until_ended(site.start(workers=4))
    assert run.state == RunState.SUCCEEDED, site.told(run)
    assert len(site.pods()) == 2
    (tmp_path / "alone").mkdir()
    assert site.losses(run) == pytest.approx(site.alone(run, tmp_path / "alone"), rel=1e-9)
    assert [process.wait(30) for process in site.pods().values()] == [0, 0]


def test_a_killed_pod_ends_the_attempt_and_the_run_goes_on_from_its_checkpoint(site: Site) -> None:
    run = site.until_learning(site.start(epochs=200, batch_size=16))
    known = len(site.losses(run))
    site.pods()[f"{site.cluster.created[0]}/1"].kill()
    run = site.bench.until(run, lambda r: r.attempt == 2 and r.state == RunState.RUNNING, timeout_s=PATIENCE_S)
    assert "worker 1 of 2 is gone" in site.bench.log(run)
    run = site.bench.until(run, lambda r: len(site.losses(r)) > known + 1, timeout_s=PATIENCE_S)
    services.cancel_run(run)
    run = site.until_ended(run)
    assert run.state == RunState.CANCELLED
    assert "resuming at epoch " in site.bench.log(run)
    assert len(site.cluster.created) == len(set(site.cluster.created)) == 2
    codes = [process.wait(30) for process in site.pods().values()]
    assert codes[1] == -signal.SIGKILL
    assert codes[2:] == [0, 0], "a cancelled team ends in good order"


def test_a_killed_leader_takes_its_nodes_with_it_and_the_run_goes_on(site: Site) -> None:
    run = site.until_learning(site.start(epochs=200, batch_size=16))
    leader, member = site.pods().values()
    leader.kill()
    assert member.wait(60) != 0
    run = site.bench.until(run, lambda r: r.attempt == 2 and r.state == RunState.RUNNING, timeout_s=PATIENCE_S)
    services.cancel_run(run)
    assert site.until_ended(run).state == RunState.CANCELLED


def test_a_node_that_is_to_be_taken_away_stops_the_run_in_good_order(site: Site) -> None:
    run = site.until_learning(site.start(epochs=200, batch_size=16))
    list(site.pods().values())[1].send_signal(signal.SIGTERM)
    run = site.bench.until(run, lambda r: r.attempt == 2, timeout_s=PATIENCE_S)
    assert run.attempts_left == site.bench.settings.TRAINING_ATTEMPTS - 1, "only the new attempt counts"
    services.cancel_run(run)
    assert site.until_ended(run).state == RunState.CANCELLED
    assert [process.wait(60) for process in list(site.pods().values())[:2]] == [0, 0]


def test_a_leader_waits_for_a_node_without_a_place_and_says_so(site: Site) -> None:
    site.cluster.held_back = {1}
    run = site.start()
    waits = "waiting for 1 of 2 processes, on other nodes"
    run = site.bench.until(run, lambda r: r.progress.get("phase") == waits, timeout_s=PATIENCE_S)
    assert run.state == RunState.RUNNING
    site.cluster.schedule()
    run = site.until_ended(run)
    assert run.state == RunState.SUCCEEDED, site.told(run)


def test_a_run_that_waits_for_a_node_can_be_cancelled(site: Site) -> None:
    site.cluster.held_back = {1}
    run = site.start()
    run = site.bench.until(run, lambda r: "on other nodes" in str(r.progress.get("phase")), timeout_s=PATIENCE_S)
    services.cancel_run(run)
    run = site.until_ended(run)
    assert (run.state, run.exit_class) == (RunState.CANCELLED, ExitClass.CANCELLED)


def test_a_node_that_comes_when_its_run_is_another_s_ends_itself(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = {
            "TRAINER_NODES": "127.0.0.1,127.0.0.1", "TRAINER_NODE_PORT": str(taken.getsockname()[1]),
            "JOB_COMPLETION_INDEX": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "training.trainer", str(uuid4()), "7"],
            env={**os.environ, **place}, cwd=Path(__file__).parents[3], capture_output=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_same_attempt_ordered_twice_is_one_job(site: Site) -> None:
    site.cluster.has_room = False
    launcher = get_launcher()
    order = type(ORDER)(run_id=ORDER.run_id, fence=ORDER.fence, folder=ORDER.folder, workers=2)
    assert launcher.launch(order) == launcher.launch(order)
    assert len(site.cluster.objects) == 1


def test_workers_that_do_not_fill_their_nodes_fail_the_run_with_the_rule(site: Site) -> None:
    site.bench.limit(TRAINING_WORKERS_PER_NODE=2)
    run = site.start(workers=3)
    assert run.state == RunState.FAILED
    assert "workers must be at most TRAINING_WORKERS_PER_NODE, 2, or a multiple of it, not 3" in run.exit_message


def test_where_processes_are() -> None:
    assert choose_layout(1, per_node=1) == Layout()
    assert choose_layout(4, per_node=8) == Layout(nodes=1, processes=4)
    assert choose_layout(16, per_node=8) == Layout(nodes=2, processes=8)
    with pytest.raises(InvalidConfigurationError, match="not 3"):
        choose_layout(3, per_node=2)


@pytest.mark.parametrize(("name", "kind"), [("job.yaml", "Job"), ("trainjob.yaml", "TrainJob")])
def test_what_is_ordered_of_many_nodes_is_valid_to_the_last_field(name: str, kind: str, tmp_path: Path) -> None:
    template = read_template(TEMPLATES / name, kind=kind)
    fill = job_of if kind == "Job" else trainjob_of
    manifest = fill(ORDER, template, host="jobs/ml", layout=Layout(nodes=3, processes=2))
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(manifest))
    if kind == "Job":
        command = [str(Path(sys.executable).with_name("kubernetes-validate")), "--strict", str(path)]
        spec = manifest["spec"]
        assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
        assert (spec["backoffLimit"], spec["template"]["spec"]["subdomain"]) == (0, "training-nodes")
    else:
        assert manifest["spec"]["trainer"]["numNodes"] == 3
        if not SHARED.exists():
            pytest.skip("the definition of a TrainJob is not here")
        schema = SHARED / "schemas/kubeflow-trainer-trainjobs-crd.yaml"
        tool = SHARED / "tools/validate_custom_resource.py"
        command = [sys.executable, str(tool), str(schema), "v1alpha1", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.e2e
@pytest.mark.long(takes_minutes=True)
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("recipe", ["keras_cnn", pytest.param("torch_cnn", marks=pytest.mark.torch)])
def test_two_pods_learn_over_the_frameworks_own_engines(site: Site, recipe: str) -> None:
    write_bars(site.data, rows=300, size=8)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 26, "dropout": 0.0, "clip_norm": 1.0, "augment": ""}
    team = site.until_ended(site.start(recipe, **options), timeout_s=500)
    assert team.state == RunState.SUCCEEDED, site.told(team)
    alone = site.until_ended(site.start(recipe, **options, workers=1), timeout_s=500)
    assert alone.state == RunState.SUCCEEDED, site.told(alone)
    assert site.losses(team) == pytest.approx(site.losses(alone), rel=1e-4)
    assert len(site.pods()) == 3
