"""A team learns what one process learns, ends with its leader, and its loss is told from a fault of the recipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError
from tests.e2e.topology import wait_until
from tests.training.learning.test_learning import order, weights
from tests.training.parallel.sharing_softmax import PATH
from tests.training.recipes.reporters import RememberingReporter
from training.learning import learn
from training.parallel.member import Member
from training.parallel.messages import Load
from training.parallel.place import NAMES, Place, environment_of, this_place
from training.parallel.team import Team
from training.processes import start_time
from training.recipes.api import StopRequestedError, TrainedModel, TrainingOrder, WorkerLostError
from training.recipes.augmentation import parse_augmentation

pytestmark = pytest.mark.timeout(180)


def team_order(folder: Path, **parameters: Any) -> TrainingOrder:
    return replace(order(folder, **parameters), recipe=PATH)


def run(folder: Path, reporter: RememberingReporter | None = None, **parameters: Any) -> TrainedModel:
    folder.mkdir(exist_ok=True)
    return learn(team_order(folder, **parameters), reporter or RememberingReporter())


def members_of(pid: int) -> list[int]:
    """Return the children of a process that are members of a team."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            if b"training.parallel.member" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


class Killing(RememberingReporter):
    """Kills a member at a step."""

    def step(self, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        super().step(epoch=epoch, step=step, metrics=metrics)
        if (epoch, step) == (2, 1):
            os.kill(members_of(os.getpid())[0], signal.SIGKILL)


@pytest.mark.parametrize("workers", [2, 3])
def test_a_team_learns_what_one_process_learns(tmp_path: Path, workers: int) -> None:
    options: dict[str, Any] = {"batch_size": 61, "schedule": "cosine", "warmup": 0.2}
    alone = run(tmp_path / "alone", **options)
    reporter = RememberingReporter()
    shared = run(tmp_path / "team", reporter, **options, workers=workers)
    assert np.allclose(weights(shared, tmp_path / "b"), weights(alone, tmp_path / "a"), rtol=1e-9)
    assert [e["loss"] for e in shared.history] == pytest.approx([e["loss"] for e in alone.history])
    assert [e["accuracy"] for e in shared.history] == [e["accuracy"] for e in alone.history]
    assert f"a team of {workers} processes shares each batch" in reporter.messages
    assert members_of(os.getpid()) == []
    assert not set(NAMES) & set(os.environ)
    assert not [path for path in (tmp_path / "team").iterdir() if path.name.startswith(("worker-", "team-"))]


def test_a_batch_of_fewer_rows_than_members_is_shared_too(tmp_path: Path) -> None:
    rows = run(tmp_path / "alone", batch_size=1, epochs=1)
    shared = run(tmp_path / "team", batch_size=1, epochs=1, workers=3)
    assert np.allclose(weights(shared, tmp_path / "b"), weights(rows, tmp_path / "a"), rtol=1e-9)


def test_a_killed_member_is_named_and_the_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", workers=2)
    reporter = Killing()
    with pytest.raises(WorkerLostError, match=r"worker 1 of 2 is gone \(signal 9\)"):
        run(tmp_path / "cut", reporter, workers=2)
    assert reporter.messages[-1] == "worker 1 of 2 is gone (signal 9)"
    resumed = RememberingReporter()
    again = run(tmp_path / "cut", resumed, workers=2)
    assert resumed.steps[0] == (2, 1), "the first epoch was kept"
    assert np.allclose(weights(again, tmp_path / "b"), weights(whole, tmp_path / "a"), rtol=1e-9)


def test_images_are_changed_in_a_team_too_and_a_run_that_goes_on_learns_from_the_same(tmp_path: Path) -> None:
    options: dict[str, Any] = {"augment": "flip,shift=1,noise=40", "workers": 2}
    whole = run(tmp_path / "whole", **options)
    plain = run(tmp_path / "plain", workers=2)
    with pytest.raises(StopRequestedError):
        run(tmp_path / "cut", RememberingReporter(stop_at=(2, 3)), **options)
    resumed = RememberingReporter()
    again = run(tmp_path / "cut", resumed, **options)
    assert resumed.steps[0] == (2, 4), "it goes on within the epoch"
    assert np.array_equal(weights(again, tmp_path / "b"), weights(whole, tmp_path / "a"))
    assert not np.allclose(weights(plain, tmp_path / "c"), weights(whole, tmp_path / "d"))


def test_each_member_changes_its_images_in_its_own_way() -> None:
    augmentation = parse_augmentation("noise=40")
    assert augmentation is not None
    images = np.full((4, 6, 6, 1), 128, np.uint8)
    first, second, again = (augmentation.apply(images, seed=1, epoch=1, step=0, rank=rank) for rank in (0, 1, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(second, again)
    assert np.array_equal(first, augmentation.apply(images, seed=1, epoch=1, step=0)), "alone as before"


def test_a_stop_ends_the_members(tmp_path: Path) -> None:
    with pytest.raises(StopRequestedError):
        run(tmp_path / "one", RememberingReporter(stop_at=(1, 2)), workers=3)
    assert members_of(os.getpid()) == []
    assert len(run(tmp_path / "one", workers=3).history) == 3


def test_members_end_when_their_leader_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.training.parallel.test_team import run\n"
        "run(Path(sys.argv[1]), workers=3, epochs=10_000, batch_size=1)"
    )
    leader = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], cwd=Path(__file__).parents[3])
    try:
        wait_until(lambda: len(members_of(leader.pid)) == 2, within_s=90, what="the members have been started")
        members = {pid: start_time(pid) for pid in members_of(leader.pid)}
    finally:
        leader.kill()
        leader.wait()
    wait_until(
        lambda: not any(started and start_time(pid) == started for pid, started in members.items()),
        within_s=60,
        what="the members have ended",
    )


def test_an_engine_that_does_not_notice_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.parallel.team.NOTICE_S", 0.1)
    codes: list[int] = []
    reporter = RememberingReporter()
    (tmp_path / "none").mkdir()
    with Team(team_order(tmp_path / "none"), world=2, reporter=reporter, end=codes.append) as team:
        os.kill(team.process_ids[0], signal.SIGKILL)
        wait_until(lambda: bool(codes), within_s=30, what="the leader ends itself")
    assert codes == [76]
    assert "worker 1 of 2 is gone" in reporter.messages[-1]


def test_a_recipe_that_cannot_share_refuses_workers(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigurationError, match="'workers' must be 1, not 2"):
        learn(order(tmp_path, workers=2), RememberingReporter())


def test_the_environment_says_the_place() -> None:
    assert this_place({}) == Place()
    place = environment_of(1, [1, 2, 3, 4], cores=4)
    assert this_place(place) == Place(rank=1, world=2, local=1, local_world=2)
    assert this_place({"RANK": "3", "WORLD_SIZE": "4"}) == Place(rank=3, world=4, local=3, local_world=4)
    assert place["TF_CONFIG"] == (
        '{"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 1}}'
    )
    assert (place["MASTER_PORT"], place["OMP_NUM_THREADS"]) == ("4", "2")
    for wrong in ({"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "-1"}, {"RANK": "one"}):
        with pytest.raises(InvalidConfigurationError, match="RANK"):
            this_place(wrong)


class Leaving:
    """A learner that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def load_state(self, path: Path) -> None:
        """Note it."""
        self.told.append("load")

    def reseed(self, seed: int) -> None:
        """Note it."""
        self.told.append(seed)

    def leave_team(self) -> None:
        """Note it."""
        self.told.append("leave")


def test_a_member_parts_in_order_when_there_are_no_more_commands() -> None:
    learner: Any = Leaving()
    nothing: Any = None
    member = Member(learner=learner, data=nothing, augmentation=None, seed=1, rank=1)
    member.follow(iter([Load(path="state", seed=7)]))
    assert learner.told == ["load", 7, "leave"]
