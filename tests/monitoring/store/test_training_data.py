"""Labelled predictions are a data source that training reads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError
from monitoring.store.training_data import export_labelled
from tests.monitoring.store.stored import NOW, a_prediction, an_image, label, store
from training.data.sources import load_dataset

DAY = timedelta(days=1)


def test_labelled_images_become_an_archive_that_training_reads(tmp_path: Path) -> None:
    events = [an_image(NOW + timedelta(seconds=i), value=float(i % 10)) for i in range(60)]
    store(*events)
    for i, event in enumerate(events[:40]):
        label(event, str(i % 2))
    made = export_labelled("digits", since=NOW - DAY, until=NOW + DAY, uri=f"file://{tmp_path}/data")
    assert (made.rows, made.format, made.target) == (40, "npz", "")
    with np.load(tmp_path / "data" / "labelled.npz") as archive:
        assert archive["images"].dtype == np.uint8 and archive["images"].shape == (40, 4, 4, 1)
        assert archive["labels"].tolist() == [i % 2 for i in range(40)]
        assert archive["images"][:, 0, 0, 0].tolist() == [i % 10 for i in range(40)]
    data = load_dataset(str(tmp_path / "data" / "labelled.npz"), target=None, seed=1, scratch=tmp_path)
    assert data.labels == ("0", "1") and len(data.train) + len(data.validation) + len(data.test) == 40


def test_labelled_rows_become_a_table_that_training_reads(tmp_path: Path) -> None:
    events = [a_prediction(NOW + timedelta(seconds=i)) for i in range(40)]
    store(*events[:20])
    store(*events[20:])
    for i, event in enumerate(events):
        label(event, "good" if i % 2 else "bad")
    made = export_labelled("credit", since=NOW, until=NOW + timedelta(seconds=30), uri=str(tmp_path / "data"))
    assert (made.rows, made.format, made.target) == (30, "parquet", "target")
    data = load_dataset(made.uri, target=made.target, seed=1, scratch=tmp_path)
    assert data.labels == ("bad", "good") and [spec.name for spec in data.inputs] == ["age", "job"]
    assert len(data.train) + len(data.validation) + len(data.test) == 30


def test_without_labels_no_file_is_written(tmp_path: Path) -> None:
    store(a_prediction())
    made = export_labelled("credit", since=NOW - DAY, until=NOW + DAY, uri=str(tmp_path / "data"))
    assert made.rows == 0 and not (tmp_path / "data").exists()


def test_inputs_that_no_source_holds_are_refused(tmp_path: Path) -> None:
    event = a_prediction(inputs={"vector": np.ones((1, 5), np.float32)})
    store(event)
    label(event, "good")
    with pytest.raises(InvalidInputError, match="vector"):
        export_labelled("credit", since=NOW - DAY, until=NOW + DAY, uri=str(tmp_path / "data"))
