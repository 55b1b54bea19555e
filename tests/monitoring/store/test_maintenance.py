"""Small files become large ones without a row lost or doubled, and old days go."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiplatform.errors import ArtifactError
from aiplatform.predictions import files
from aiplatform.predictions.files import StoredFile
from monitoring.models import Feedback, PredictionPolicy
from monitoring.store import compaction
from monitoring.store.maintenance import remove_expired, tidy_store
from monitoring.store.requests import read_requests
from tests.monitoring.store.stored import NOW, a_prediction, all_files, ids, label, store

TWO_DAYS_LATER = NOW + timedelta(days=2)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def content_of(file: StoredFile) -> bytes:
    return Path(file.uri.removeprefix("file://")).read_bytes()


def test_the_files_of_a_day_become_one_with_the_same_rows_in_the_same_order() -> None:
    events = [a_prediction(at(s)) for s in range(6)]
    for i in range(0, 6, 2):
        store(*events[i : i + 2])
    tidy_store(now=TWO_DAYS_LATER)
    (one,) = all_files()
    assert one.batch.startswith("compact-") and (one.first_ms, one.last_ms) == (
        int(events[0].time_s * 1000),
        int(events[5].time_s * 1000),
    )
    found = read_requests("credit", limit=99)
    assert ids(found) == ids(events[::-1])
    assert found[0].inputs["job"].tolist() == [["clerk"]] and found[0].inputs["age"].shape == (1, 1)


def test_the_day_that_goes_on_is_left_alone() -> None:
    store(a_prediction(at(1)))
    store(a_prediction(at(2)))
    tidy_store(now=at(600))
    assert len(all_files()) == 2


def test_labels_are_in_the_file_when_the_database_has_forgotten_them() -> None:
    events = [a_prediction(at(s)) for s in (1, 2)]
    for event in events:
        store(event)
    label(events[0], "good")
    tidy_store(now=TWO_DAYS_LATER)
    Feedback.objects.all().delete()
    assert [request.label for request in read_requests("credit", limit=9)] == [None, "good"]


def test_labels_that_come_after_compaction_are_taken_in_by_a_later_one() -> None:
    events = [a_prediction(at(s)) for s in (1, 2)]
    for event in events:
        store(event)
    tidy_store(now=TWO_DAYS_LATER)
    (before,) = all_files()
    label(events[1], "bad")
    Feedback.objects.update(received_at=TWO_DAYS_LATER + timedelta(hours=1))
    tidy_store(now=TWO_DAYS_LATER + timedelta(hours=2))
    assert all_files() == [before]  # not more often than twice a day
    tidy_store(now=TWO_DAYS_LATER + timedelta(hours=13))
    tidy_store(now=TWO_DAYS_LATER + timedelta(hours=26))
    (after,) = all_files()
    assert after.name != before.name
    Feedback.objects.all().delete()
    assert [request.label for request in read_requests("credit", limit=9)] == ["bad", None]


@pytest.mark.postgres
@pytest.mark.parametrize("step", ["written", "first_removed"])
def test_a_crash_between_writing_and_removing_shows_no_row_twice(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [a_prediction(at(s)) for s in range(4)]
    for event in events:
        store(event)
    real = files.remove_file
    calls: list[str] = []

    def dies(uri: str) -> None:
        if len(calls) == (0 if step == "written" else 1):
            raise KeyboardInterrupt
        calls.append(uri)
        real(uri)

    monkeypatch.setattr(files, "remove_file", dies)
    with pytest.raises(KeyboardInterrupt):
        tidy_store(now=TWO_DAYS_LATER)
    assert len(all_files()) == 5 - len(calls)
    assert ids(read_requests("credit", limit=99)) == ids(events[::-1])
    monkeypatch.setattr(files, "remove_file", real)
    tidy_store(now=TWO_DAYS_LATER)
    assert len(all_files()) == 1 and ids(read_requests("credit", limit=99)) == ids(events[::-1])


def test_a_batch_delivered_again_after_it_was_joined_shows_no_row_twice() -> None:
    events = [a_prediction(at(s)) for s in (1, 2)]
    batches = [store(event, batch=f"batch-{i}") for i, event in enumerate(events)]
    tidy_store(now=TWO_DAYS_LATER)
    assert store(events[0], batch="batch-0").name == batches[0].name  # a clock that died before it could forget it
    assert len(all_files()) == 2 and ids(read_requests("credit", limit=99)) == ids(events[::-1])
    store(a_prediction(at(3)))
    tidy_store(now=TWO_DAYS_LATER)  # joins again: the names it has taken in are handed on
    assert len(all_files()) == 1 and len(read_requests("credit", limit=99)) == 3
    store(events[1], batch="batch-1")
    assert len(read_requests("credit", limit=99)) == 3
    tidy_store(now=TWO_DAYS_LATER)
    assert len(all_files()) == 1


def test_files_of_different_schemas_are_not_mixed() -> None:
    for s in (1, 2):
        store(a_prediction(at(s)))
        store(a_prediction(at(s + 10), http_status=500, inputs=None, outputs=None))
    tidy_store(now=TWO_DAYS_LATER)
    assert len(all_files()) == 2 and len(read_requests("credit", limit=9)) == 2


def test_a_damaged_file_is_left_as_it_is_and_the_others_are_joined() -> None:
    kept = [a_prediction(at(s)) for s in (1, 2, 3)]
    for event in kept:
        store(event)
    victim = store(*(a_prediction(at(4 + i / 1000)) for i in range(300)))
    content = bytearray(content_of(victim))
    content[len(content) // 4] ^= 0xFF
    Path(victim.uri.removeprefix("file://")).write_bytes(content)
    tidy_store(now=TWO_DAYS_LATER)
    assert sorted(f.name == victim.name for f in all_files()) == [False, True]
    assert content_of(victim) == bytes(content)
    assert set(ids(kept)) <= set(ids(read_requests("credit", limit=999)))


def test_days_past_the_endpoint_s_retention_go_and_others_stay(settings: Any) -> None:
    settings.STORE_RETENTION_DAYS = 10.0
    PredictionPolicy.objects.create(endpoint="slow", sample_share=1.0, retention_days=40.0)
    for endpoint in ("credit", "slow"):
        store(a_prediction(NOW - timedelta(days=12), endpoint=endpoint))
        store(a_prediction(NOW, endpoint=endpoint))
    assert remove_expired(now=NOW) == 1
    assert (len(all_files("credit")), len(all_files("slow"))) == (1, 2)


def test_compaction_goes_on_after_a_failure_of_the_store(store_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for s in (1, 2):
        store(a_prediction(at(s)))

    def fails(*args: Any, **kwargs: Any) -> int:
        raise ArtifactError("the store is full")

    monkeypatch.setattr(compaction, "write_batches", fails)
    assert tidy_store(now=TWO_DAYS_LATER) == {}
    assert len(read_requests("credit", limit=9)) == 2
    monkeypatch.undo()
    assert tidy_store(now=TWO_DAYS_LATER)["joined_files"] == 2
