"""What is deleted is gone at once, stays gone whatever is delivered later, and the order stays on record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.predictions.files import StoredFile
from monitoring.models import DeletedPrediction, Feedback, PredictionBlock, PredictionDeletion, StoreLease
from monitoring.predictions import find_rows
from monitoring.store import deletion
from monitoring.store.deletion import carry_out_deletions, delete_predictions
from monitoring.store.erasing import erase_from_file
from monitoring.store.lease import store_lease
from monitoring.store.maintenance import tidy_store
from monitoring.store.requests import read_requests
from tests.monitoring.store.stored import NOW, a_prediction, all_files, ids, index, label, store

AFTER = NOW + timedelta(minutes=5)
LATER = AFTER + timedelta(hours=1)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def in_files(endpoint: str = "credit") -> list[str]:
    """Return the ids that are really in files, whatever readers leave out."""
    from pyarrow import parquet

    found = []
    for file in all_files(endpoint):
        found += parquet.read_table(file.uri.removeprefix("file://"), partitioning=None)["prediction_id"].to_pylist()
    return sorted(found)


@pytest.mark.postgres
def test_a_prediction_deleted_by_id_leaves_files_index_and_feedback() -> None:
    gone, kept = a_prediction(at(1)), a_prediction(at(2))
    store(gone, kept)
    index(gone, kept)
    label(gone, "good")
    label(kept, "good")
    order = delete_predictions(prediction_ids=[gone.prediction_id], by="ada", reason="asked for", now=AFTER)
    assert in_files() == [kept.prediction_id]
    assert list(find_rows(ids([gone, kept]))) == [(kept.prediction_id, 0)]
    assert list(Feedback.objects.values_list("prediction_key", flat=True)) == [kept.prediction_id]
    order.refresh_from_db()
    assert (order.stored_rows, order.index_rows, order.feedback_rows, order.predictions) == (1, 1, 1, 1)
    assert (order.requested_by, order.reason, order.state) == ("ada", "asked for", "removed")


def test_a_whole_block_goes_when_nothing_is_left_in_it() -> None:
    event = a_prediction()
    index(event)
    delete_predictions(prediction_ids=[event.prediction_id], by="ada", now=AFTER)
    assert not PredictionBlock.objects.exists()


def test_all_of_a_subject_goes_and_nothing_of_another() -> None:
    theirs = [a_prediction(at(s), subject="ada@example.org") for s in (1, 2, 90_000)]
    other = a_prediction(at(3), subject="bob@example.org")
    store(theirs[0], other)
    store(theirs[1])
    store(theirs[2])
    index(*theirs[:2], other)
    order = delete_predictions(subject="ada@example.org", by="ada", now=at(100_000))
    assert in_files() == [other.prediction_id] and list(find_rows(ids(theirs))) == []
    order.refresh_from_db()
    assert (order.predictions, order.stored_rows, order.index_rows) == (3, 3, 2)
    assert "ada@example.org" not in str(PredictionDeletion.objects.values().get())


def test_what_a_subject_does_after_the_order_is_kept() -> None:
    delete_predictions(subject="ada@example.org", by="ada", now=at(10))
    before, after = a_prediction(at(1), subject="ada@example.org"), a_prediction(at(20), subject="ada@example.org")
    store(before, after)
    assert ids(read_requests("credit", limit=9)) == [after.prediction_id]


def test_a_spool_file_delivered_again_does_not_bring_it_back() -> None:
    gone, kept = a_prediction(at(1)), a_prediction(at(2))
    delete_predictions(prediction_ids=[gone.prediction_id], by="ada", now=AFTER)
    index(gone, kept)  # both arrive after the order
    file = store(gone, kept)
    assert list(find_rows(ids([gone, kept]))) == [(kept.prediction_id, 0)]
    assert ids(read_requests("credit", limit=9)) == [kept.prediction_id]
    tidy_store(now=LATER)  # the later pass finds what was on its way
    assert in_files() == [kept.prediction_id] and all_files()[0].name == file.name
    assert PredictionDeletion.objects.get().state == "done"


def test_a_file_emptied_by_a_deletion_stays_so_that_its_batch_cannot_come_back() -> None:
    event = a_prediction()
    file = store(event)
    delete_predictions(prediction_ids=[event.prediction_id], by="ada", now=AFTER)
    assert [f.name for f in all_files()] == [file.name] and in_files() == []
    assert read_requests("credit", limit=9) == []


def test_compaction_applies_tombstones_to_whatever_came_after_everything_else() -> None:
    gone, kept = a_prediction(at(1)), a_prediction(at(2))
    delete_predictions(prediction_ids=[gone.prediction_id], by="ada", now=AFTER)
    tidy_store(now=LATER)
    store(gone)
    store(kept)
    tidy_store(now=NOW + timedelta(days=2))
    assert in_files() == [kept.prediction_id]


def test_while_the_store_is_away_the_order_holds_and_is_carried_out_later(store_folder: Path) -> None:
    event = a_prediction()
    store(event)
    artifacts = store_folder.parent
    hidden = artifacts.with_name("elsewhere")
    artifacts.rename(hidden)
    artifacts.write_text("a file where the folder should be")
    order = delete_predictions(prediction_ids=[event.prediction_id], by="ada", now=AFTER)
    assert order.state == "pending" and order.error
    artifacts.unlink()
    hidden.rename(artifacts)
    assert read_requests("credit", limit=9) == []
    with store_lease() as lease:
        assert lease is not None
        carry_out_deletions(lease, now=LATER)
    order.refresh_from_db()
    assert (order.state, order.error, in_files()) == ("done", "", [])


@pytest.mark.postgres
def test_while_another_rewrites_files_the_order_waits_for_the_clock() -> None:
    event = a_prediction()
    store(event)
    with store_lease() as lease:
        assert lease is not None
        order = delete_predictions(prediction_ids=[event.prediction_id], by="ada", now=AFTER)
        with store_lease() as second:
            assert second is None
    assert order.state == "pending" and read_requests("credit", limit=9) == []
    tidy_store(now=LATER)
    assert in_files() == []


@pytest.mark.postgres
def test_a_process_killed_in_the_middle_leaves_an_order_that_the_clock_finishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [a_prediction(at(s)) for s in (1, 2)]
    for event in events:
        store(event)
    calls: list[StoredFile] = []

    def dies_at_the_second(file: StoredFile, names: set[str]) -> list[int]:
        calls.append(file)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return erase_from_file(file, names)

    monkeypatch.setattr(deletion, "erase_from_file", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        delete_predictions(prediction_ids=ids(events), by="ada", now=AFTER)
    assert len(in_files()) == 1 and read_requests("credit", limit=9) == []
    monkeypatch.undo()
    tidy_store(now=LATER)
    assert in_files() == [] and PredictionDeletion.objects.get().state == "done"


def test_a_damaged_file_is_named_in_the_order_and_the_others_are_cleaned() -> None:
    gone = a_prediction(at(1), subject="ada")
    store(gone)
    victim = store(a_prediction(at(2)))
    Path(victim.uri.removeprefix("file://")).write_bytes(b"PAR1 no more")
    order = delete_predictions(subject="ada", by="ada", now=AFTER)
    order.refresh_from_db()
    assert order.stored_rows == 1 and victim.name in order.error


def test_a_rotated_secret_still_finds_the_subject(settings: Any) -> None:
    event = a_prediction(subject="ada")
    store(event)
    settings.PREDICTION_HASH_SECRETS = ["a-new-secret", *settings.PREDICTION_HASH_SECRETS]
    delete_predictions(subject="ada", by="ada", now=AFTER)
    assert in_files() == []


@pytest.mark.parametrize("order", [{}, {"prediction_ids": ["a"], "subject": "b"}, {"prediction_ids": ["x" * 65]}])
def test_orders_that_make_no_sense_are_refused(order: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        delete_predictions(by="ada", **order)
    assert not DeletedPrediction.objects.exists()


def test_without_a_secret_no_subject_can_be_found_and_that_is_said(settings: Any) -> None:
    settings.PREDICTION_HASH_SECRETS = []
    with pytest.raises(InvalidConfigurationError, match="PREDICTION_HASH_SECRETS"):
        delete_predictions(subject="ada", by="ada")


@pytest.mark.postgres
def test_a_lease_whose_holder_died_is_free_after_its_time() -> None:
    with store_lease():
        StoreLease.objects.update(until=datetime.now(UTC) - timedelta(seconds=1))
        with store_lease() as second:
            assert second is not None
