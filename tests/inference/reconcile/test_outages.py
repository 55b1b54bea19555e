"""What a replica does while what it depends on is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiplatform.contracts.inference import ReplicaState
from inference.desired import ReplicaMemory, load_memory, save_memory
from inference.loaded import LoadedVersion
from tests.inference.endpoints.fakes import poll
from tests.inference.reconcile.conftest import Bench


def test_with_the_database_down_the_last_known_state_is_served_and_said(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.store.is_away = True
    bench.want((2, 100))
    for _ in range(3):
        bench.replica.step()
    assert bench.served() == {1: 100}
    report = bench.replica.report()
    assert report["is_ready"]
    assert report["control_plane"] == "the database cannot be reached: cut"


def test_when_the_database_is_back_the_replica_follows_by_itself(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.store.is_away = True
    bench.want((2, 100))
    bench.replica.step()
    bench.store.is_away = False
    bench.settle(v2=100)
    assert bench.replica.report()["control_plane"] == "reachable"


def test_a_replica_that_starts_with_the_database_down_serves_what_the_last_one_knew(bench: Bench) -> None:
    bench.want((1, 70), (2, 30))
    bench.settle(v1=70, v2=30)
    bench.replica.stop(1)
    bench.store.is_away = True
    bench.restart()
    bench.settle(v1=70, v2=30)
    assert bench.replica.report()["is_ready"]


def test_a_replica_that_starts_with_nothing_known_is_not_ready_until_it_has_read(bench: Bench) -> None:
    bench.store.is_away = True
    bench.replica.step()
    assert not bench.replica.report()["is_ready"]
    bench.store.is_away = False
    bench.replica.step()
    assert bench.replica.report()["is_ready"]


def test_a_restarted_replica_whose_new_version_is_corrupt_serves_the_one_before(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.replica.stop(1)
    bench.want((2, 100))
    bench.break_artifact(2)
    bench.restart()
    poll(lambda: {v.version for v in _loaded(bench)} == {1}, act=bench.replica.step)
    assert bench.table.choose("digits").version == 1
    assert bench.states()[2] is ReplicaState.FAILED


def test_a_new_replica_serves_what_it_can_of_a_split_with_a_corrupt_version(bench: Bench) -> None:
    bench.want((1, 90), (2, 10))
    bench.break_artifact(2)
    poll(lambda: bench.states().get(2) is ReplicaState.FAILED and _loaded(bench), act=bench.replica.step)
    assert {bench.table.choose("digits").version for _ in range(20)} == {1}


def test_a_status_that_could_not_be_written_is_written_later(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.store.is_away = True
    bench.store.told.clear()
    bench.replica.step()
    bench.store.is_away = False
    bench.replica.step()
    assert bench.states() == {1: ReplicaState.READY}


@pytest.mark.parametrize("content", [b"", b"{", b'{"desired": 3}', b"\xff\xfe"])
def test_a_damaged_memory_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    assert load_memory(path) is None


def test_memory_comes_back_as_it_was_kept(bench: Bench, tmp_path: Path) -> None:
    bench.want((1, 60), (2, 40))
    memory = ReplicaMemory(desired=bench.store.desired, applied={})
    save_memory(tmp_path / "kept.json", memory)
    assert load_memory(tmp_path / "kept.json") == memory


def test_a_disk_that_takes_no_memory_file_does_not_stop_serving(bench: Bench) -> None:
    (bench.folder / "state.json").mkdir()
    bench.want((1, 100))
    bench.settle(v1=100)


def _loaded(bench: Bench) -> list[LoadedVersion]:
    route = bench.table.routes.get("digits")
    return list(route.versions.values()) if route else []
