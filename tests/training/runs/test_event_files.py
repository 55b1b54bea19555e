"""TensorBoard's event files: read back by TensorFlow's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import run_files
from training.event_files import FOLDER, EventFile, crc32c

from ..conftest import Bench


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32/ISCSI
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def read(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Return step and scalars of each event of a folder's files."""
    tf = pytest.importorskip("tensorflow")
    from tensorflow.core.util import event_pb2

    files = [str(path) for path in sorted(folder.iterdir())]
    events = [event_pb2.Event.FromString(raw.numpy()) for raw in tf.data.TFRecordDataset(files)]
    assert events[0].file_version == "brain.Event:2"
    assert all(event.wall_time > 1e9 for event in events)
    return [(event.step, {v.tag: v.simple_value for v in event.summary.value}) for event in events[1:]]


def test_tensorflow_reads_what_was_written_with_its_checksums(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "tb", host="here")
    file.add_scalars({"loss": 0.5, "val_loss": None, "accuracy": 0.25}, step=1)
    file.add_scalars({"loss": None}, step=2)
    file.add_scalars({"loss": 0.125}, step=300)
    assert read(tmp_path / "tb") == [(1, {"loss": 0.5, "accuracy": 0.25}), (300, {"loss": 0.125})]


def test_each_epoch_of_a_run_is_an_event(bench: Bench) -> None:
    run = bench.until_ended(bench.start(epochs=2))
    told = read(run_files.run_folder(run.pk) / FOLDER)
    assert told == [(1, {"loss": 1.0, "accuracy": 0.5}), (2, {"loss": 0.5, "accuracy": pytest.approx(2 / 3)})]
