"""Predictions reach monitoring at least once, whatever is away; what is lost is counted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError, NotFoundError, UnavailableError
from inference.recording import recorder as recorder_module
from inference.recording import shipping, watching
from inference.recording.columns import CHUNK_ROWS, assemble_batches, digest_events
from inference.recording.recorder import STEP_EVENTS, PredictionRecorder, RecorderLimits
from inference.recording.shipping import Shipper
from inference.recording.spool import SET_ASIDE, Spool
from tests.inference.endpoints.fakes import poll
from tests.inference.recording.fakes import Drops, FakeMonitoring, event, failed, read

AWAY = UnavailableError("monitoring cannot be reached")


class Bench:
    """Recorders on one disk before one monitoring, and a clock that ships."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.monitoring = FakeMonitoring()
        self.drops = Drops()
        self.spool_bytes = -1
        self.recorders: list[PredictionRecorder] = []
        self.is_over = threading.Event()
        self.clock = threading.Thread(target=self.ship)

    def start(self, name: str = "r", *, max_bytes: int = 10**7, **limits: float) -> PredictionRecorder:
        spool = Spool(self.root, replica=name, max_bytes=max_bytes, on_drop=self.drops)
        recorder = PredictionRecorder(
            replica=name,
            spool=spool,
            ship=self.monitoring.record,
            on_drop=self.drops,
            limits=RecorderLimits(**{"flush_interval_s": 0.02, **limits}),  # type: ignore[arg-type]
        )
        recorder.start()
        self.recorders.append(recorder)
        return recorder

    def shipper(self, name: str = "clock") -> Shipper:
        spool = Spool(self.root, replica=name, max_bytes=10**7, on_drop=self.drops)
        return Shipper(root=self.root, spool=spool, ship=self.monitoring.record, on_spool_bytes=self._note)

    def ship(self) -> None:
        """Ship as the clock does, until `stop_shipping`."""
        shipper = self.shipper()
        while not self.is_over.wait(0.01):
            shipper.run()
        shipper.finish(5)

    def stop_shipping(self) -> None:
        self.is_over.set()
        self.clock.join(10)
        assert not self.clock.is_alive()

    def files(self) -> list[Path]:
        return sorted(self.root.glob("*/*.batch"))

    def _note(self, size: int) -> None:
        self.spool_bytes = size


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(shipping, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(shipping, "ADOPT_INTERVAL_S", 0.1)
    bench = Bench(tmp_path / "spool")
    bench.clock.start()
    yield bench
    bench.monitoring.gate.set()
    for recorder in bench.recorders:
        recorder.stop(5)
    bench.stop_shipping()


def names(numbers: range) -> list[str]:
    return [f"p{number:05d}" for number in numbers]


def record(recorder: PredictionRecorder, numbers: range, until: Callable[[], bool] | None = None) -> None:
    for number in numbers:
        recorder.record(event(number))
    if until is not None:
        poll(until)


def test_predictions_arrive_within_moments_and_leave_no_files(bench: Bench) -> None:
    recorder = bench.start()
    record(recorder, range(50), lambda: bench.monitoring.ids == names(range(50)))
    poll(lambda: not bench.files() and bench.spool_bytes == 0)
    assert bench.drops.rows == {}


def test_a_recorder_samples_what_is_beyond_its_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PERIOD_S", 0.02)
    recorder = bench.start(watched_rows_per_s=1)
    assert RecorderLimits().watched_rows_per_s == 0
    for number in range(100_000):
        recorder.record(event(number))
        if number % 500 == 0 and any(batch.watched is not None for batch in list(bench.monitoring.batches.values())):
            break
    else:
        pytest.fail("all rows were watched")
    assert bench.drops.rows == {}


def test_while_monitoring_is_away_predictions_wait_on_disk_and_then_arrive_once_in_order(bench: Bench) -> None:
    bench.monitoring.failure = AWAY
    recorder = bench.start()
    for start in range(0, 50, 10):
        count = len(bench.files())
        record(recorder, range(start, start + 10), lambda c=count: len(bench.files()) > c)  # type: ignore[misc]
    assert bench.monitoring.ids == []
    bench.monitoring.failure = None
    poll(lambda: bench.monitoring.ids == names(range(50)))
    poll(lambda: not bench.files())
    assert bench.monitoring.duplicates == 0 and bench.drops.rows == {}


def test_a_lost_answer_makes_the_same_batch_come_again_under_the_same_id(bench: Bench) -> None:
    bench.monitoring.failure, bench.monitoring.loses_answers = AWAY, True
    recorder = bench.start()
    record(recorder, range(5), lambda: bench.monitoring.duplicates > 0)
    bench.monitoring.failure = None
    poll(lambda: not bench.files())
    assert bench.monitoring.ids == names(range(5))


def test_a_stopped_recorder_has_flushed_everything(bench: Bench) -> None:
    recorder = bench.start(flush_interval_s=60.0)
    record(recorder, range(20))
    recorder.stop(5)
    bench.stop_shipping()
    assert bench.monitoring.ids == names(range(20))


def test_what_a_process_left_behind_is_shipped_by_the_next_one(bench: Bench) -> None:
    bench.monitoring.failure = AWAY
    first = bench.start("first")
    record(first, range(10))
    first.stop(5)
    assert bench.monitoring.ids == [] and bench.files()
    bench.monitoring.failure = None
    bench.start("second")
    poll(lambda: bench.monitoring.ids == names(range(10)))
    poll(lambda: not bench.files())


def test_a_slow_monitoring_delays_neither_record_nor_the_flush_to_disk(bench: Bench) -> None:
    bench.monitoring.gate.clear()
    recorder = bench.start()
    record(recorder, range(10), lambda: len(bench.files()) >= 1)
    count = len(bench.files())
    started = time.monotonic()
    record(recorder, range(10, 2000))
    assert time.monotonic() - started < 15  # monitoring is held for 20 s
    poll(lambda: len(bench.files()) > count)
    bench.monitoring.gate.set()
    poll(lambda: len(bench.monitoring.ids) == 2000)


def test_a_full_queue_drops_and_counts_instead_of_growing(bench: Bench) -> None:
    recorder = bench.start(flush_interval_s=60.0, queue_events=100, batch_rows=10**6)
    with recorder._digesting:  # another thread is at it, and does not get on
        record(recorder, range(250))
    assert bench.drops.rows == {"queue_full": 150}
    recorder.stop(5)
    bench.stop_shipping()
    assert bench.monitoring.ids == names(range(100))


def test_the_queue_is_bounded_in_bytes_too(bench: Bench) -> None:
    recorder = bench.start(flush_interval_s=60.0, queue_bytes=10_000)
    for number in range(100):
        recorder.record(event(number, rows=500))
    assert bench.drops.rows["queue_full"] > 0


def test_a_full_spool_keeps_the_newest_and_counts_the_rest(bench: Bench) -> None:
    bench.monitoring.failure = AWAY
    recorder = bench.start(max_bytes=3000)
    for number in range(20):
        count = bench.drops.rows.get("spool_full", 0) + len(bench.files())
        recorder.record(event(number))
        poll(lambda c=count: bench.drops.rows.get("spool_full", 0) + len(bench.files()) > c)
    bench.monitoring.failure = None
    poll(lambda: not bench.files())
    kept = len(bench.monitoring.ids)
    assert 0 < kept < 20
    assert bench.monitoring.ids == names(range(20 - kept, 20))
    assert bench.drops.rows == {"spool_full": 20 - kept}


def test_a_corrupt_file_is_set_aside_and_the_rest_is_shipped(bench: Bench) -> None:
    bench.monitoring.failure = AWAY
    first = bench.start("first")
    record(first, range(5), lambda: len(bench.files()) >= 1)
    first.stop(5)
    damaged = bench.files()[0]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    bench.monitoring.failure = None
    second = bench.start("second")
    record(second, range(5, 10))
    poll(lambda: set(names(range(5, 10))) <= set(bench.monitoring.ids))
    assert [path.name for path in (bench.root / SET_ASIDE).iterdir()] == [damaged.name]
    assert bench.drops.rows["corrupt"] >= 1


def test_a_batch_that_monitoring_will_never_take_does_not_block_the_others(bench: Bench) -> None:
    bench.monitoring.failure = InvalidInputError("RecordPredictions: wrong")
    recorder = bench.start()
    record(recorder, range(3), lambda: bench.drops.rows.get("refused", 0) == 3)
    bench.monitoring.failure = None
    record(recorder, range(3, 6), lambda: bench.monitoring.ids == names(range(3, 6)))


def test_a_monitoring_that_is_not_deployed_yet_is_waited_for(bench: Bench) -> None:
    bench.monitoring.failure = NotFoundError("no such path")
    recorder = bench.start()
    record(recorder, range(3), lambda: len(bench.files()) >= 1)
    bench.monitoring.failure = None
    poll(lambda: bench.monitoring.ids == names(range(3)))


def test_without_a_usable_disk_predictions_go_straight_to_monitoring_or_are_counted(bench: Bench) -> None:
    bench.root.write_text("a file where the folder should be")
    recorder = bench.start()
    record(recorder, range(3), lambda: bench.monitoring.ids == names(range(3)))
    bench.monitoring.failure = AWAY
    record(recorder, range(3, 6), lambda: bench.drops.rows.get("unwritable", 0) == 3)


def test_a_disk_that_hangs_holds_nobody_up_and_no_more_memory_than_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    append = Spool.append
    monkeypatch.setattr(Spool, "append", lambda spool, order: (gate.wait(20), append(spool, order))[1])
    recorder = bench.start(flush_interval_s=60.0, queue_events=100, batch_rows=50)
    record(recorder, range(1000))
    assert len(recorder._events) <= 100 and bench.drops.rows["queue_full"] >= 600
    gate.set()
    recorder.stop(5)
    poll(lambda: len(bench.monitoring.ids) == 1000 - bench.drops.rows["queue_full"])


@pytest.mark.interpreted
def test_under_much_traffic_the_caller_digests_and_only_the_thread_writes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: set[str] = set()
    write = assemble_batches

    def noting(*args: Any, **more: Any) -> Any:
        writers.add(threading.current_thread().name)
        return write(*args, **more)

    monkeypatch.setattr(recorder_module, "assemble_batches", noting)
    recorder = bench.start(flush_interval_s=60.0, batch_rows=100)
    for number in range(1000):
        recorder.record(event(number))
        assert len(recorder._events) <= 4 * CHUNK_ROWS  # the thread may be at work on some
    recorder.stop(5)
    poll(lambda: len(bench.monitoring.ids) == 1000)
    assert sorted(bench.monitoring.ids) == names(range(1000)) and bench.drops.rows == {}
    assert writers == {"recorder-flush"}


@pytest.mark.interpreted
def test_on_an_event_loop_what_is_about_to_be_answered_goes_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    digest = digest_events

    def noting(*args: Any, **more: Any) -> Any:
        done.append(threading.current_thread().name)
        return digest(*args, **more)

    monkeypatch.setattr(recorder_module, "digest_events", noting)
    monkeypatch.setattr(recorder_module, "LOOK_S", 60.0)  # the thread does not look meanwhile
    recorder = bench.start(flush_interval_s=60.0)

    async def answer_many() -> None:
        record(recorder, range(STEP_EVENTS + 10))
        asyncio.get_running_loop().call_soon(done.append, "the next request")
        assert done == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    for _ in range(2):  # another loop is asked anew
        asyncio.run(answer_many())
        assert done == [threading.current_thread().name, "the next request"], "once, in one step"
        done.clear()
    recorder.stop(5)
    bench.stop_shipping()
    assert len(bench.monitoring.ids) == 2 * (STEP_EVENTS + 10)


@pytest.mark.interpreted
def test_a_large_request_is_left_to_the_thread(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    digesters: set[str] = set()
    digest = digest_events

    def noting(*args: Any, **more: Any) -> Any:
        digesters.add(threading.current_thread().name)
        return digest(*args, **more)

    monkeypatch.setattr(recorder_module, "digest_events", noting)
    recorder = bench.start()
    recorder.record(event(1, inputs={"x": np.zeros((1, 512, 512, 3), np.float32)}))
    poll(lambda: bench.monitoring.ids == names(range(1, 2)))
    assert digesters == {"recorder-flush"}


def test_a_prediction_that_failed_is_recorded_too(bench: Bench) -> None:
    recorder = bench.start()
    recorder.record(failed(1, 504))
    poll(lambda: bench.monitoring.ids == ["p00001"])
    (batch,) = bench.monitoring.batches.values()
    assert read(batch).http_statuses == (504,)


def test_wide_predictions_are_written_in_files_of_bounded_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "ORDER_BYTES", 100_000)
    bench.monitoring.gate.clear()
    recorder = bench.start(flush_interval_s=60.0)
    inputs = {f"f{n}": np.zeros((200, 1)) for n in range(20)}
    outputs = {"y": np.zeros((200, 1))}
    for number in range(30):
        recorder.record(event(number, inputs=inputs, outputs=outputs, labels=()))
    recorder.stop(5)
    sizes = [path.stat().st_size for path in bench.files()]
    assert len(sizes) > 5 and max(sizes) < 200_000


def test_what_several_threads_record_at_once_all_arrives(bench: Bench) -> None:
    recorder = bench.start()
    threads = [threading.Thread(target=record, args=(recorder, range(n * 500, n * 500 + 500))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    poll(lambda: len(bench.monitoring.ids) == 2000)
    assert sorted(bench.monitoring.ids) == names(range(2000)) and bench.drops.rows == {}
