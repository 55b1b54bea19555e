"""The curve of a long run comes thinned by the query, or whole."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rest_framework.test import APIClient

from training.models import EpochMetrics, Run

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def long_run(epochs: int) -> str:
    """Return the address of the metrics of a run of so many epochs."""
    run = Run.objects.create(recipe="r", data_uri="digits", model_name="m")
    EpochMetrics.objects.bulk_create(
        [
            EpochMetrics(run=run, epoch=epoch, values={"loss": 1 / epoch}, recorded_at=AT)
            for epoch in range(1, epochs + 1)
        ]
    )
    return f"/api/training/runs/{run.pk}/metrics/"


def test_all_epochs_are_answered_in_order_unless_points_are_asked_for(train_api: APIClient) -> None:
    answer = train_api.get(long_run(7)).json()
    assert [point["epoch"] for point in answer] == [1, 2, 3, 4, 5, 6, 7]
    assert answer[1] == {"epoch": 2, "values": {"loss": 0.5}, "recorded_at": "2026-03-01T12:00:00.250000Z"}


def test_about_so_many_points_are_answered_and_the_last_epoch_is_one_of_them(train_api: APIClient) -> None:
    answer = train_api.get(long_run(1003) + "?points=100").json()
    epochs = [point["epoch"] for point in answer]
    assert len(epochs) <= 101
    assert epochs[:2] == [11, 22]
    assert epochs[-1] == 1003


def test_a_short_run_is_answered_whole_however_many_points_are_asked_for(train_api: APIClient) -> None:
    assert [point["epoch"] for point in train_api.get(long_run(3) + "?points=100").json()] == [1, 2, 3]


def test_a_run_without_epochs_has_no_points(train_api: APIClient) -> None:
    assert train_api.get(long_run(0) + "?points=100").json() == []


@pytest.mark.parametrize("points", ["1", "10001", "-5", "many", "", "1" * 30])
def test_points_that_cannot_be_are_refused_with_the_rule(train_api: APIClient, points: str) -> None:
    answer = train_api.get(long_run(1) + f"?points={points}")
    assert answer.status_code == 400
    assert "2 to 10" in answer.json()["error"]
