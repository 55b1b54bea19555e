"""What recording and ingesting a prediction costs: CPU microseconds a prediction, stage by stage.

    python benchmarks/ingestion.py
    python benchmarks/ingestion.py --events 50000 --batch-rows 2000

Predictions are those of a small image classifier: one row of 28x28x1 float32, ten probabilities.
The database is a fresh SQLite file; nothing leaves the machine. CPU time is the whole process's,
so waiting for the disk is not in it; `wall` is beside it. Say with any figure what this prints of
the machine.
"""

from __future__ import annotations

import argparse
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
PACKAGES = ("numpy", "msgspec", "datasketches", "Django")


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

    def us(self, name: str) -> float:
        """Return CPU microseconds a prediction."""
        return self.cpu_s[name] / self.events * 1e6


def main() -> None:
    """Run as told on the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000, help="predictions")
    parser.add_argument("--batch-rows", type=int, default=0, help="RECORDER_BATCH_ROWS (default: the setting's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _set_up(Path(folder))
        from django.conf import settings

        rows = options.batch_rows or settings.RECORDER_BATCH_ROWS
        _warm_up(Path(folder), rows)
        stages = Stages(options.events)
        spooled_bytes = _run(Path(folder), stages, rows)
        _print(stages, rows, spooled_bytes)


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


def _warm_up(folder: Path, batch_rows: int) -> None:
    _run(folder, Stages(500), batch_rows)


def _make_events(count: int) -> list[Any]:
    import numpy as np

    from inference.recording_api import PredictionEvent
    from inference.serving import new_prediction_id

    random = np.random.default_rng(1)
    images = random.integers(0, 256, (512, 1, 28, 28, 1)).astype(np.float32)
    outputs = random.dirichlet(np.ones(10), (512, 1)).astype(np.float32)
    now = time.time() - 1
    return [
        PredictionEvent(
            prediction_id=new_prediction_id(now + i / count),
            endpoint="digits", model="digits", version=1, artifact_uri="file:///nowhere", artifact_digest="sha256:1",
            time_s=now + i / count, latency_ms=1.0 + i % 7, http_status=200,
            inputs={"image": images[i % 512].copy()}, outputs={"probabilities": outputs[i % 512].copy()}, labels=LABELS,
        )
        for i in range(count)
    ]  # fmt: skip


def _run(folder: Path, stages: Stages, batch_rows: int) -> int:
    from aiplatform.services import monitoring_client
    from inference.recording.columns import build_batches
    from inference.recording.recorder import PredictionRecorder, RecorderLimits
    from inference.recording.spool import Spool, read_spool_file

    events = _make_events(stages.events)
    spool = Spool(folder / "spool", replica="bench", max_bytes=10**9, on_drop=_ignore)
    recorder = PredictionRecorder(
        replica="bench", spool=spool, ship=_never, on_drop=_ignore,
        limits=RecorderLimits(queue_events=10**7, queue_bytes=10**10, batch_rows=batch_rows),
    )  # fmt: skip
    _record(stages, recorder, events)
    with stages.measure("columns"):
        batches = build_batches(events, replica="bench", max_rows=batch_rows)
    spool.open()
    from inference.recording.recorder import _orders

    for order in _orders(batches, batch_rows):
        with stages.measure("spool append"):
            spool.append(order)
    spooled = spool.size_bytes()
    orders = []
    for path in spool.list_files():
        with stages.measure("spool read"):
            orders.append(read_spool_file(path))
        spool.remove(path)
    spool.close()
    client = monitoring_client()
    for order in orders:
        _ingest(stages, order)
        with stages.measure("transport + codec (again: counted as duplicate)"):
            client.record_predictions(order)
    return spooled


def _record(stages: Stages, recorder: Any, events: list[Any]) -> None:
    record = recorder.record
    with stages.measure("record() (serving thread)"):
        for event in events:
            record(event)


def _ingest(stages: Stages, order: Any) -> None:
    from datetime import UTC, datetime

    from monitoring import ingestion

    with stages.measure("check + sketches"):
        for batch in order.batches:
            ingestion._read_batch(batch, datetime.now(UTC))
    with stages.measure("whole ingestion"):
        ingestion.record_predictions(batches=order.batches)


def _ignore(*_: object) -> None: ...


def _never(_: object) -> Any:
    raise AssertionError("nothing is shipped from memory here")


def _print(stages: Stages, batch_rows: int, spooled_bytes: int) -> None:
    names = list(stages.cpu_s)
    for name in names:
        print(f"{name:50s} {stages.us(name):8.2f} us CPU   {stages.wall_s[name] / stages.events * 1e6:8.2f} us wall")
    total = sum(stages.us(name) for name in names if name != "check + sketches")
    print(f"{'total':50s} {total:8.2f} us CPU")
    print(f"spool {spooled_bytes / stages.events:.0f} bytes a prediction; batches of {batch_rows}")
    print(platform.platform(), os.cpu_count(), platform.python_version(), {p: version(p) for p in PACKAGES})


if __name__ == "__main__":
    main()
