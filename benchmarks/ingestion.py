"""What recording and ingesting a prediction costs: CPU microseconds a prediction, stage by stage.

    python benchmarks/ingestion.py
    python benchmarks/ingestion.py --events 100000 --batch-rows 2000

Predictions are those of a small image classifier: one row of 28x28x1 float32, ten probabilities.
First every stage runs alone; CPU time is the whole process's, so waiting for the disk is not in it
(`wall` is beside it). Then an event loop records 10,000 predictions/s while the recorder flushes, and
a timer in the same loop notes how late it wakes. The database is a fresh SQLite file; nothing leaves
the machine. Say with any figure what this prints of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LABELS = tuple("0123456789")
PACKAGES = ("numpy", "msgspec", "datasketches", "pyarrow", "duckdb", "Django")
RATE = 10_000  # predictions/s before the event loop
LOOP_S = 5.0
# With so much traffic `record` makes the columns, too, a step of requests at a time (inference/recording/recorder.py);
# under little traffic the recorder's thread does, all that wait at once: that is measured beside it and counted once.
RECORD, COLUMNS = "record() with columns, on the serving thread", "(columns of a whole batch, in the recorder's thread)"
APPEND = "spool append (recorder's thread)"
SERVING = (RECORD, APPEND)


@dataclass
class Stages:
    """CPU and wall seconds by stage, in order."""

    events: int
    cpu_s: dict[str, float] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add what the block takes to a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - cpu
        self.wall_s[name] = self.wall_s.get(name, 0.0) + time.perf_counter() - wall

    def cpu_us(self, *names: str) -> float:
        """Return CPU microseconds a prediction of some stages together."""
        return sum(self.cpu_s[name] for name in names) / self.events * 1e6


def main() -> None:
    """Run as told on the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000, help="predictions")
    parser.add_argument("--batch-rows", type=int, default=0, help="RECORDER_BATCH_ROWS (default: the setting's)")
    parser.add_argument("--embedding", type=int, default=0, metavar="DIMENSIONS", help="of each prediction; 0: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _set_up(folder)
        from django.conf import settings

        rows = options.batch_rows or settings.RECORDER_BATCH_ROWS
        run_stages(folder, make_events(2000, options.embedding), Stages(2000), rows)  # warm-up
        stages = Stages(options.events)
        spooled_bytes = run_stages(folder, make_events(options.events, options.embedding), stages, rows)
        print_stages(stages, rows, spooled_bytes)
        print_windows()
        print_store(folder, options.events)
        print_lateness(folder)
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    print(f"\n{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")


def _set_up(folder: Path) -> None:
    os.environ.update(
        DJANGO_SETTINGS_MODULE="aiplatform.settings", AIPLATFORM_DEBUG="1", DATA_DIR=str(folder),
        AIPLATFORM_ROLES="inference,monitoring", DATABASE_URL=f"sqlite:///{folder}/db.sqlite3", LOG_LEVEL="ERROR",
    )  # fmt: skip
    sys.path.insert(0, str(ROOT))
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, skip_checks=True)


def make_events(count: int, dimensions: int = 0) -> list[Any]:
    """Return predictions of the last second, each with arrays of its own."""
    import numpy as np

    from inference.prediction_ids import new_prediction_id
    from inference.recording_api import EVENT_BYTES, CallRows, PredictionEvent, Source

    random = np.random.default_rng(1)
    images = random.integers(0, 256, (512, 1, 28, 28, 1)).astype(np.float32)
    outputs = random.dirichlet(np.ones(10), (512, 1)).astype(np.float32)
    embeddings = random.normal(size=(512, 1, dimensions)).astype(np.float32)
    now = time.time() - 1
    source = Source(
        endpoint="digits", model="digits", version=1, artifact_uri="file:///nowhere", artifact_digest="sha256:1",
        labels=LABELS,
    )  # fmt: skip
    events = []
    for i in range(count):
        embedding = embeddings[i % 512] * np.float32(random.random()) if dimensions else None
        call = CallRows({"image": images[i % 512] * float(random.random())}, {"p": outputs[i % 512].copy()}, embedding)
        at = now + i / count
        latency_ms, size_bytes = float(random.gamma(2.0)), EVENT_BYTES + call.row_bytes
        events.append(PredictionEvent(source, new_prediction_id(at), at, latency_ms, 200, call, 0, 1, size_bytes))
    return events


def new_recorder(folder: Path, name: str, rows: int) -> Any:
    """Return a recorder without a narrow limit; not started."""
    from inference.recording.recorder import PredictionRecorder, RecorderLimits
    from inference.recording.spool import Spool

    spool = Spool(folder / "spool", replica=name, max_bytes=10**9, on_drop=_say)
    limits = RecorderLimits(queue_events=10**7, queue_bytes=10**10, batch_rows=rows)
    return PredictionRecorder(replica=name, spool=spool, ship=_say, on_drop=_say, limits=limits)


def run_stages(folder: Path, events: list[Any], stages: Stages, rows: int) -> int:
    """Run each stage alone over all events; return the bytes spooled."""
    from aiplatform.contracts.monitoring import RecordPredictions
    from inference.recording.columns import build_batches
    from inference.recording.spool import Spool, read_spool_file

    record = new_recorder(folder, "stages", rows).record
    with stages.measure(RECORD):
        for event in events:
            record(event)
    with stages.measure(COLUMNS):
        batches = build_batches(events, replica="stages", max_rows=rows)
    spool = Spool(folder / "spool", replica="stages", max_bytes=10**9, on_drop=_say)
    spool.open()
    for batch in batches:
        with stages.measure(APPEND):
            spool.append(RecordPredictions(batches=(batch,)))
    spooled_bytes = spool.size_bytes()
    for path in spool.list_files():
        with stages.measure("spool read"):
            order = read_spool_file(path)
        spool.remove(path)
        _ingest(stages, order)
    spool.close()
    return spooled_bytes


def _ingest(stages: Stages, order: Any) -> None:
    from datetime import UTC, datetime

    from aiplatform.services import monitoring_client
    from monitoring.batches import BatchColumns, split_by_minute
    from monitoring.ingestion import record_predictions

    now = datetime.now(UTC).timestamp()
    for batch in order.batches:
        with stages.measure("(of ingestion: checks)"):
            columns = BatchColumns(batch, max_features=256)
        with stages.measure("(of ingestion: sketches and index)"):
            list(split_by_minute(columns, oldest_s=0.0, now_s=now))
    with stages.measure("ingestion"):
        record_predictions(batches=order.batches)
    with stages.measure("transport and codec (sent again, a duplicate)"):
        monitoring_client().record_predictions(order)


def print_stages(stages: Stages, rows: int, spooled_bytes: int) -> None:
    """Print the table of stages."""
    print(
        f"{stages.events} predictions in batches of {rows}, {spooled_bytes / stages.events:.0f} bytes each in the spool"
    )
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"{'us a prediction':54s} {'CPU':>8s} {'wall':>8s}")
    for name in stages.cpu_s:
        print(f"{name:54s} {stages.cpu_us(name):8.2f} {stages.wall_s[name] / stages.events * 1e6:8.2f}")
    counted = [name for name in stages.cpu_s if not name.startswith("(")]
    print(f"{'in the serving process':54s} {stages.cpu_us(*SERVING):8.2f}")
    print(f"{'in the clock and in monitoring':54s} {stages.cpu_us(*(n for n in counted if n not in SERVING)):8.2f}")
    print(f"{'all':54s} {stages.cpu_us(*counted):8.2f}")


def print_windows() -> None:
    """Print what the windows and the index take."""
    from django.db.models import Sum

    from monitoring.models import PredictionBlock, Window
    from monitoring.packing import pack_feature
    from monitoring.windows import read_window_profile

    window = Window.objects.order_by("-rows")[0]
    profile = read_window_profile(window)
    print(f"\na window of {window.rows} predictions, bytes:")
    for group, columns in (("features", profile.features), ("outputs", profile.outputs)):
        for name, column in columns.items():
            print(f"  {group + ' ' + name:30s} {len(pack_feature(column)):6d}")
    print(f"  {'all features and outputs':30s} {len(window.sketches):6d}")
    print(f"  {'latency':30s} {len(window.latency):6d}")
    rows = PredictionBlock.objects.aggregate(rows=Sum("rows"))["rows"]
    size = sum(len(content) for content in PredictionBlock.objects.values_list("content", flat=True))
    print(f"index of single predictions: {size / rows:.1f} bytes each")


def print_store(folder: Path, events: int) -> None:
    """Print what the prediction store costs at two sample shares, and what a stored row takes."""
    print(f"\nprediction store, CPU us by prediction made and by row stored (zstd), at {RATE} predictions/s:")
    for share in (0.01, 1.0):
        stages = Stages(events)
        rows, spooled, stored = run_store(folder, stages, share)
        print(f"  sample share {share:.0%}: {rows} of {events} rows stored")
        for name in stages.cpu_s:
            by_row = stages.cpu_s[name] / max(1, rows) * 1e6
            core = stages.cpu_us(name) * RATE / 1e6
            print(f"    {name:44s} {stages.cpu_us(name):8.2f} {by_row:8.2f}   {core:6.2%} of a core")
        print(f"    bytes a row: {spooled / max(1, rows):.0f} in the spool, {stored / max(1, rows):.0f} in the store")


def run_store(folder: Path, stages: Stages, share: float) -> tuple[int, int, int]:
    """Keep, ship, read and compact; return rows stored and their bytes in the spool and in the store."""
    from datetime import UTC, datetime, timedelta

    from django.conf import settings

    from aiplatform.contracts.monitoring import StorePolicy
    from aiplatform.predictions.files import list_files, remove_day, store_root
    from inference.recording.keeping import FORM, RowKeeper
    from inference.recording.spool import Spool
    from inference.recording.storing import BatchFolders, BatchLimits, StoreWriter
    from monitoring.store.compaction import compact_day
    from monitoring.store.requests import read_requests

    events, day = make_events(stages.events), datetime.now(UTC).date()
    spool = Spool(folder / "rows", replica="store", max_bytes=10**10, on_drop=_say, form=FORM)
    policy = StorePolicy(sample_share=share, retention_days=30)
    keeper = RowKeeper(policy_of=lambda _: policy, spool=spool, secret="secret", on_drop=_say)
    keeper.start()
    with stages.measure("sample, pack, spool (recorder's thread)"):
        for start in range(0, len(events), 128):
            keeper.keep(events[start : start + 128])
        keeper.write()
    told: list[tuple[str, int, int]] = []
    root = store_root(settings.ARTIFACT_STORE)
    batches = BatchFolders(folder / "batches", limits=BatchLimits())
    writer = StoreWriter(root_uri=root, set_aside=_say, on_stored=lambda *what: told.append(what))
    spooled = sum(path.stat().st_size for path in spool.list_files())
    with stages.measure("spool to Parquet in the store (clock)"):
        while batch := batches.next(spool, in_full=True):
            writer.write(batch)
            batches.finish(batch)
    keeper.stop()
    rows = sum(count for _, count, _ in told)
    with stages.measure("(once a day: compaction)"):
        compact_day("digits", day, now=datetime.now(UTC) + timedelta(days=2))
    with stages.measure("(read back as requests)"):
        assert len(read_requests("digits", limit=rows)) == rows
    stored = sum(file.size_bytes for file in list_files(root, "digits", day))
    remove_day(root, "digits", day)
    return rows, spooled, stored


def print_lateness(folder: Path) -> None:
    """Print how late a timer wakes in a loop that records, and in one that does not."""
    print(f"\na timer of 1 ms in an event loop beside {RATE} predictions/s, late by (ms):")
    for name, recorder in (("not recorded", None), ("recorded", new_recorder(folder, "loop", 10_000))):
        if recorder is not None:
            recorder.start()
        late_ms = sorted(asyncio.run(_late(recorder)))
        if recorder is not None:
            recorder.stop(10)
        p50, p99, p999 = (late_ms[int(len(late_ms) * share)] for share in (0.5, 0.99, 0.999))
        print(f"  {name:15s} p50 {p50:6.2f}   p99 {p99:6.2f}   p99.9 {p999:6.2f}   greatest {late_ms[-1]:6.2f}")


async def _late(recorder: Any) -> list[float]:
    events = make_events(RATE)
    task = asyncio.create_task(_send(recorder, events))
    late_ms: list[float] = []
    while not task.done():
        started = time.perf_counter()
        await asyncio.sleep(0.001)
        late_ms.append((time.perf_counter() - started - 0.001) * 1000)
    return late_ms


async def _send(recorder: Any, events: list[Any]) -> None:
    """Record at RATE, in steps of the loop."""
    started, sent = time.perf_counter(), 0
    while (passed_s := time.perf_counter() - started) < LOOP_S:
        while sent < passed_s * RATE:
            if recorder is not None:
                recorder.record(events[sent % len(events)])
            sent += 1
        await asyncio.sleep(0.001)


def _say(*told: object) -> Any:
    raise AssertionError(f"nothing is dropped or shipped from memory here: {told}")


if __name__ == "__main__":
    main()
