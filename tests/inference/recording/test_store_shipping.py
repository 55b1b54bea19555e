"""Every kept prediction reaches the store once: whoever dies, whatever is away, however many ship."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiplatform.predictions import files
from inference.recording import store_shipping
from inference.recording.spool import SET_ASIDE
from tests.aiplatform.object_stores import BUCKET, running_gcs, running_s3
from tests.aiplatform.test_object_stores import _forget_clients, _lead_to
from tests.inference.recording.store_machine import DAY_S, StoreMachine

REPOSITORY = Path(__file__).resolve().parents[3]
SERVERS = {"s3": running_s3, "gs": running_gcs}


@pytest.fixture
def machine(tmp_path: Path) -> StoreMachine:
    return StoreMachine(tmp_path / "machine", f"file://{tmp_path}/store/predictions")


def names(*numbers: int) -> list[str]:
    return [f"p{number:05d}" for number in numbers]


def test_kept_rows_of_all_processes_lie_in_the_store_by_endpoint_and_day(machine: StoreMachine) -> None:
    machine.worker("a", 1, 2, 86_400)
    machine.worker("b", 3)
    machine.clock("clock").run()
    assert machine.ids() == names(1, 2, 3, 86_400)
    days = files.list_days(machine.uri, "digits")
    assert [day.isoformat() for day in days] == ["2023-11-14", "2023-11-15"]
    (file,) = files.list_files(machine.uri, "digits", days[0])
    assert (file.first_ms, file.last_ms) == (int((DAY_S + 1) * 1000), int((DAY_S + 3) * 1000))
    assert [(endpoint, rows) for endpoint, rows, _ in machine.stored] == [("digits", 3), ("digits", 1)]
    assert machine.backlog == (0, 0.0)


def test_what_is_young_and_little_waits_and_what_is_old_or_much_goes(machine: StoreMachine) -> None:
    machine.worker("a", 1, 2)
    machine.clock("first", age_s=3600).run()
    assert machine.ids() == [] and machine.backlog[0] > 0 and machine.backlog[1] >= 0
    machine.root.joinpath(store_shipping.LOCK).unlink()
    machine.clock("second", age_s=3600, size_bytes=100).run()
    assert machine.ids() == names(1, 2)


def test_at_its_end_the_clock_ships_what_is_young_too(machine: StoreMachine) -> None:
    machine.worker("a", 1, 2)
    machine.clock("clock", age_s=3600).finish(10)
    assert machine.ids() == names(1, 2)


STEPS = [
    ("taken", 1), ("taken", 2), ("taken", 4), ("settled", 1), ("before_write", 1), ("written", 1),
    ("before_write", 2), ("written", 2), ("marked_done", 1),
]  # fmt: skip


@pytest.mark.parametrize(("step", "count"), STEPS)
def test_a_clock_killed_at_any_step_loses_nothing_and_repeats_nothing(
    machine: StoreMachine, step: str, count: int
) -> None:
    machine.worker("a", 1, 2, 3, 86_400)  # two days: two files of one batch
    command = [sys.executable, "-m", "tests.inference.recording.store_machine"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    dead = subprocess.run(
        [*command, str(machine.root), machine.uri, step, str(count)], cwd=REPOSITORY, env=env, check=False, timeout=120
    )
    assert dead.returncode == -signal.SIGKILL
    machine.worker("b", 4)  # and life goes on before the next clock comes
    for name in ("second", "third"):
        machine.clock(name).run()
    assert machine.ids() == names(1, 2, 3, 4, 86_400)


def test_a_store_that_is_away_costs_nothing_but_time(
    machine: StoreMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_shipping, "FIRST_PAUSE_S", 0.0)
    store = tmp_path / "store"
    store.write_text("a file where the folder should be")
    clock = machine.clock("clock")
    machine.worker("a", 1)
    clock.run()
    machine.worker("b", 2)
    clock.run()
    assert machine.backlog[0] > 0
    store.unlink()
    clock._next_try_s = 0.0
    clock.run()
    assert machine.ids() == names(1, 2) and machine.drops.rows == {}


def test_a_store_that_fails_after_writing_is_not_written_twice(
    machine: StoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fails_once(name: str) -> None:
        if name == "written" and not calls:
            calls.append(name)
            raise OSError("the answer was lost")

    machine.worker("a", 1, 86_400)
    clock = machine.clock("clock", step=fails_once)
    clock.run()
    clock._next_try_s = 0.0
    clock.run()
    assert machine.ids() == names(1, 86_400)


def test_of_two_clocks_at_once_each_row_is_shipped_by_one(machine: StoreMachine) -> None:
    for i in range(6):
        machine.worker(f"w{i}", *range(i * 5, i * 5 + 5))
    clocks = [machine.clock(f"clock-{i}", size_bytes=2000) for i in range(2)]
    threads = [threading.Thread(target=lambda c=clock: [c.run() for _ in range(5)]) for clock in clocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert machine.ids() == names(*range(30))


def test_without_a_working_lock_two_writers_of_one_batch_leave_each_row_once(machine: StoreMachine) -> None:
    machine.worker("a", 1, 2, 86_400)
    first, second = machine.clock("one"), machine.clock("two")
    spool = machine.spool("three")
    spool.open()
    batch = first._batches.next(spool, in_full=True)
    assert batch is not None
    threads = [threading.Thread(target=clock._writer.write, args=(batch,)) for clock in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert machine.ids() == names(1, 2, 86_400)


def test_a_damaged_spool_file_is_set_aside_and_the_others_go(machine: StoreMachine) -> None:
    machine.worker("a", 1, 2)
    victim = sorted((machine.root / "spool").glob("a/*.batch"))[0]
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    machine.clock("clock").run()
    assert machine.ids() == names(2) and machine.drops.rows == {"corrupt": 1}
    assert len(list((machine.root / "spool" / SET_ASIDE).iterdir())) == 1


@pytest.fixture(params=SERVERS)
def object_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    with SERVERS[request.param]() as env:
        _lead_to(env, monkeypatch)
        yield f"{request.param}://{BUCKET}/{tmp_path.name}/predictions"
        _forget_clients()


@pytest.mark.xdist_group("object-stores")
def test_object_stores_take_the_same_files_once(object_store: str, tmp_path: Path) -> None:
    machine = StoreMachine(tmp_path / "machine", object_store)
    assert files.list_endpoints(object_store) == [] and machine.ids() == []
    machine.worker("a", 1, 2, 86_400)
    clock = machine.clock("clock", step=_raises_once("written"))
    clock.run()  # the answer to the first file is lost
    clock._next_try_s = 0.0
    clock.run()
    assert machine.ids() == names(1, 2, 86_400)
    first, second = files.list_days(object_store, "digits")
    assert files.remove_day(object_store, "digits", first) == 1
    assert machine.ids() == names(86_400) and files.list_days(object_store, "digits") == [second]


def _raises_once(step: str) -> Callable[[str], None]:
    calls: list[str] = []

    def raises(name: str) -> None:
        if name == step and not calls:
            calls.append(name)
            raise OSError("the answer was lost")

    return raises
