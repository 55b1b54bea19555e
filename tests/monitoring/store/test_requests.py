"""Recorded requests come back as they were asked, the newest first."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from aiplatform.errors import ArtifactError
from monitoring.store.requests import read_requests
from tests.monitoring.store.stored import NOW, POLICY, a_prediction, all_files, an_image, ids, label, store


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_request_comes_back_with_the_types_and_shapes_it_had() -> None:
    event = a_prediction()
    store(event)
    (found,) = read_requests("credit", limit=10)
    assert (found.prediction_id, found.row, found.version) == (event.prediction_id, 0, 1)
    assert abs(found.time_s - event.time_s) < 1e-5
    for name, array in (event.inputs or {}).items():
        assert found.inputs[name].dtype == array.dtype and found.inputs[name].tolist() == array.tolist()
    assert np.array_equal(found.outputs["probabilities"], np.array([[0.25, 0.75]], np.float32))
    assert (found.label, found.value) == (None, None)


def test_the_newest_come_first_over_files_days_and_overlaps() -> None:
    early, late = [a_prediction(at(s)) for s in (0, 10, 20)], [a_prediction(at(s)) for s in (5, 15, 86_400)]
    store(*early)
    store(*late)
    expected = [late[2], early[2], late[1], early[1], late[0], early[0]]
    for limit in (1, 2, 4, 6, 100):
        assert ids(read_requests("credit", limit=limit)) == ids(expected[:limit])
    assert ids(read_requests("credit", limit=2, before=at(15))) == ids([early[1], late[0]])
    assert read_requests("credit", limit=0) == []


def test_a_file_that_begins_before_midnight_keeps_its_place_in_time() -> None:
    before, after = a_prediction(at(43_160)), a_prediction(at(43_175))  # 23:59:50 and 00:00:05
    between = a_prediction(at(43_172))
    store(before, after)
    store(between)
    assert ids(read_requests("credit", limit=2)) == ids([after, between])


def test_other_versions_failed_requests_and_altered_inputs_are_left_out() -> None:
    good = a_prediction(at(3))
    store(good)
    store(a_prediction(at(4), version=2))
    store(a_prediction(at(5), http_status=503, inputs=None, outputs=None))
    store(a_prediction(at(6)), policy=dataclasses.replace(POLICY, redacted_features=("job",)))
    store(a_prediction(at(7)), policy=dataclasses.replace(POLICY, hashed_features=("job",)))
    store(a_prediction(at(8)), policy=dataclasses.replace(POLICY, inputs="none"))
    assert ids(read_requests("credit", limit=10, version=1)) == ids([good])
    assert len(read_requests("credit", limit=10)) == 2


def test_the_truth_is_joined_whenever_it_comes_and_a_new_one_counts() -> None:
    event = a_prediction()
    store(event)
    label(event, "good")
    assert read_requests("credit", limit=1)[0].label == "good"
    label(event, "bad")
    assert read_requests("credit", limit=1)[0].label == "bad"


def test_rows_of_different_shapes_come_back_each_in_its_own() -> None:
    store(an_image(at(1)), an_image(at(2), value=3.0))
    large = np.ones((1, 8, 8, 1), np.float32)
    store(an_image(at(3), inputs={"image": large}))
    shapes = [request.inputs["image"].shape for request in read_requests("digits", limit=9)]
    assert shapes == [(1, 8, 8, 1), (1, 4, 4, 1), (1, 4, 4, 1)]


def test_an_endpoint_without_a_store_has_no_requests() -> None:
    assert read_requests("nobody", limit=5) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "head"])
def test_a_damaged_file_is_left_out_and_the_others_are_read(damage: str) -> None:
    kept = a_prediction(at(1))
    store(kept)
    victim = Path(store(*(a_prediction(at(2 + i / 100)) for i in range(200))).uri.removeprefix("file://"))
    content = victim.read_bytes()
    middle = len(content) // 3
    flipped = content[:middle] + bytes(b ^ 0xFF for b in content[middle : middle + 40]) + content[middle + 40 :]
    changed = {"cut": content[:-100], "flip": flipped, "empty": b"", "head": b"\0" * 200 + content[200:]}[damage]
    victim.write_bytes(changed)
    assert kept.prediction_id in ids(read_requests("credit", limit=1000))
    assert len(all_files()) == 2


def test_a_store_that_cannot_be_read_is_an_error_and_not_an_empty_answer(store_folder: Path) -> None:
    store_folder.parent.write_text("no folder")
    with pytest.raises(ArtifactError):
        read_requests("credit", limit=1)
