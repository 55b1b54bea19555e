"""The clock ships the spools of all serving processes: one clock at a time, politely, and to the end."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from aiplatform.contracts.monitoring import IngestReceipt, RecordPredictions
from aiplatform.errors import InvalidInputError, UnavailableError
from inference.recording import shipping
from inference.recording.columns import build_batches
from inference.recording.recorder import PredictionRecorder, RecorderLimits
from inference.recording.shipping import Shipper
from inference.recording.spool import SET_ASIDE, Spool
from tests.inference.recording.fakes import Drops, FakeMonitoring, event


class Machine:
    """One spool root, on which processes write and clocks ship."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.monitoring = FakeMonitoring()
        self.drops = Drops()
        self.waiting_bytes = -1

    def worker(self, name: str, *numbers: int) -> Spool:
        spool = Spool(self.root, replica=name, max_bytes=10**7, on_drop=self.drops)
        spool.open()
        for number in numbers:
            spool.append(RecordPredictions(batches=tuple(build_batches([event(number)], replica=name, max_rows=9))))
        return spool

    def clock(self, name: str, *, nice: int = 0) -> Shipper:
        spool = Spool(self.root, replica=name, max_bytes=10**7, on_drop=self.drops)
        return Shipper(root=self.root, spool=spool, ship=self.monitoring.record, on_spool_bytes=self._note, nice=nice)

    def _note(self, size: int) -> None:
        self.waiting_bytes = size


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "spool")


def test_the_files_of_living_processes_are_shipped_oldest_first(machine: Machine) -> None:
    first, second = machine.worker("b", 1), machine.worker("a", 2)
    machine.worker("c", 3).close()
    machine.clock("clock").run()
    assert machine.monitoring.ids == ["p00001", "p00002", "p00003"]
    assert not first.list_files() and not second.list_files()
    assert machine.waiting_bytes == 0


def test_files_that_have_gathered_go_together_as_far_as_a_call_holds_them(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    record = machine.monitoring.record

    def note(order: RecordPredictions) -> IngestReceipt:
        calls.append(len(order.batches))
        return record(order)

    monkeypatch.setattr(machine.monitoring, "record", note)
    monkeypatch.setattr(shipping, "CALL_FILES", 3)
    machine.worker("w", *range(7))
    machine.clock("clock").run()
    assert calls == [3, 3, 1]
    assert machine.monitoring.ids == [f"p{number:05d}" for number in range(7)]


def test_a_file_that_is_too_large_for_others_beside_it_goes_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "CALL_BYTES", 1)
    machine.worker("w", 1, 2)
    machine.clock("clock").run()
    assert machine.monitoring.ids == ["p00001", "p00002"]


def test_of_files_that_go_together_only_the_one_that_is_refused_is_set_aside(machine: Machine) -> None:
    record = machine.monitoring.record

    def refuse(order: RecordPredictions) -> IngestReceipt:
        if any("p00002" in batch.prediction_ids.to_list() for batch in order.batches):
            raise InvalidInputError("no")
        return record(order)

    worker = machine.worker("w", 1, 2, 3)
    spool = Spool(machine.root, replica="clock", max_bytes=10**7, on_drop=machine.drops)
    Shipper(root=machine.root, spool=spool, ship=refuse, on_spool_bytes=lambda size: None).run()
    assert machine.monitoring.ids == ["p00001", "p00003"]
    assert machine.drops.rows == {"refused": 1}
    assert not worker.list_files()
    assert len(list((machine.root / SET_ASIDE).iterdir())) == 1


def test_after_a_run_that_took_long_files_gather(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "REST_FACTOR", 10**9)  # any run is long
    monkeypatch.setattr(shipping, "LONGEST_REST_S", 60.0)
    clock = machine.clock("clock")
    machine.worker("w", 1)
    clock.run()
    machine.worker("v", 2)
    clock.run()
    assert machine.monitoring.ids == ["p00001"]
    assert 50.0 < clock._next_try_s - time.monotonic() <= 60.0
    clock._next_try_s = 0.0
    clock.run()
    assert machine.monitoring.ids == ["p00001", "p00002"]


def test_of_two_clocks_one_ships_and_the_other_follows_it(machine: Machine) -> None:
    first, second = machine.clock("clock-1"), machine.clock("clock-2")
    first.run()
    worker = machine.worker("w", 1)
    second.run()
    assert machine.monitoring.ids == []
    worker.close()
    first.finish(5)
    machine.worker("w", 2)
    second.run()
    assert machine.monitoring.ids == ["p00001", "p00002"]


def test_a_clock_that_cannot_reach_monitoring_waits_before_it_tries_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "FIRST_PAUSE_S", 0.1)
    machine.monitoring.failure = UnavailableError("away")
    machine.worker("w", 1)
    clock = machine.clock("clock")
    clock.run()
    assert machine.waiting_bytes > 0
    machine.monitoring.failure = None
    clock.run()
    assert machine.monitoring.ids == []
    time.sleep(0.15)
    clock.run()
    assert machine.monitoring.ids == ["p00001"]


def test_a_file_of_an_older_release_is_set_aside_and_counted_and_the_rest_goes_on(machine: Machine) -> None:
    worker = machine.worker("w", 1)
    old = worker.folder / f"{1:020d}-abcd-25.batch"
    old.write_bytes(b'0badcafe\n{"batches":[]}')
    machine.clock("clock").run()
    assert machine.monitoring.ids == ["p00001"]
    assert machine.drops.rows == {"unknown_format": 25}
    assert [path.name for path in (machine.root / SET_ASIDE).iterdir()] == [old.name]


def test_a_clock_that_ends_ships_what_serving_processes_write_while_they_end(machine: Machine) -> None:
    spool = Spool(machine.root, replica="w", max_bytes=10**7, on_drop=machine.drops)
    recorder = PredictionRecorder(
        replica="w", spool=spool, ship=machine.monitoring.record, on_drop=machine.drops,
        limits=RecorderLimits(flush_interval_s=60.0),
    )  # fmt: skip
    recorder.start()
    recorder.record(event(1))
    stopper = threading.Timer(0.3, recorder.stop, args=(5,))
    stopper.start()
    clock = machine.clock("clock")
    clock.run()
    clock.finish(10)
    stopper.join()
    assert machine.monitoring.ids == ["p00001"]
    assert not [path for path in machine.root.iterdir() if path.is_dir()]


def test_a_clock_that_ends_waits_no_longer_than_its_time(machine: Machine) -> None:
    machine.worker("w", 1)
    started = time.monotonic()
    machine.clock("clock").finish(0.3)  # the worker lives on
    assert machine.monitoring.ids == ["p00001"] and time.monotonic() - started < 20


def test_a_clock_that_ends_does_not_wait_for_monitoring(machine: Machine) -> None:
    worker = machine.worker("w", 1)
    machine.monitoring.failure = UnavailableError("away")
    started = time.monotonic()
    machine.clock("clock").finish(100)
    assert time.monotonic() - started < 50
    assert len(worker.list_files()) == 1


def test_only_the_thread_that_ships_gives_way_to_serving(machine: Machine) -> None:
    found: list[int] = []

    def run() -> None:
        machine.clock("clock", nice=7).run()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert found == [7]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_a_spool_that_cannot_be_used_stops_no_clock(machine: Machine) -> None:
    machine.root.write_text("a file where the folder should be")
    clock = machine.clock("clock")
    clock.run()
    clock.run()
    clock.finish(1)
    assert machine.monitoring.ids == []
