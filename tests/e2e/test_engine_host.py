"""The platform with its engines in a process of their own, which dies and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

from tests.e2e.test_workers import children
from tests.e2e.topology import Platform, single, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("e2e")]


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Give a platform of two HTTP workers and an engine host that serves `digits`."""
    platform = single(tmp_path_factory.mktemp("hosted") / "single", WEB_WORKERS="2", ENGINE_HOST="1")
    platform.start()
    platform.run_manage(
        "train", "run", "keras_cnn", "--data", "digits", "--name", "digits", "--set", "epochs=1", "--deploy", "--wait"
    )
    wait_until(lambda: statuses(platform) == {200}, within_s=60, what="both workers answer")
    yield platform
    platform.stop()


def statuses(platform: Platform) -> set[int]:
    """Return the statuses of some predictions, each on a connection of its own."""
    body = {"instances": load_digits().images[:2, :, :, None].tolist()}
    ask = ("POST", "/v1/models/digits:predict")
    return {platform.request(*ask, json=body, headers={"Connection": "close"}).status_code for _ in range(12)}


def engine_host_pid(platform: Platform) -> int | None:
    """Return the engine host's process id."""
    process = platform.servers["all"].process
    assert process is not None
    for pid in children(process.pid):
        if b"engine_host" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def test_the_workers_hold_no_framework_and_the_host_holds_it_once(hosted: Platform) -> None:
    process = hosted.servers["all"].process
    assert process is not None
    host = engine_host_pid(hosted)
    holders = [pid for child in children(process.pid) for pid in (child, *children(child)) if holds_tensorflow(pid)]
    assert holders == [host]


def holds_tensorflow(pid: int) -> bool:
    """Say whether a process has TensorFlow in its memory."""
    return "libtensorflow" in Path(f"/proc/{pid}/maps").read_text()


def test_a_killed_host_is_replaced_and_its_engines_loaded_again(hosted: Platform) -> None:
    before = engine_host_pid(hosted)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: engine_host_pid(hosted) not in (None, before), within_s=30, what="a new host runs")
    wait_until(lambda: statuses(hosted) == {200}, within_s=60, what="all answers are good again")
    assert statuses(hosted) == {200}
