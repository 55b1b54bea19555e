"""The public REST API of statistics, as a caller with a token or a session meets it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from aiplatform.http.codec import encode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, sign_request
from aiplatform.identity import Identity, Scope
from monitoring.ingestion import record_predictions
from monitoring.models import Window
from tests.monitoring.factories import make_batch, now

pytestmark = pytest.mark.django_db


class Caller:
    """Calls as the gateway forwards: with a signed identity."""

    def __init__(self, *scopes: Scope) -> None:
        self._identity = encode_message(Identity(username="ada", scopes=frozenset(scopes))).decode()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        raw = b"" if body is None else encode_message(body)
        plain, _, query = path.partition("?")
        signature = sign_request(
            settings.INTERNAL_SECRETS[0],
            method=method,
            target=canonical_target(plain, query),
            body=raw,
            identity=self._identity,
        )
        headers = {IDENTITY_HEADER: self._identity, SIGNATURE_HEADER: signature}
        return Client().generic(method, path, raw, content_type="application/json", headers=headers)

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body)


PREDICTOR, WATCHER, TRAINER = Caller(Scope.PREDICT), Caller(Scope.MONITOR), Caller(Scope.TRAIN)
FEEDBACK = "/api/monitoring/feedback/"


@pytest.fixture
def recorded() -> None:
    """Record two predictions, a and b, of '7'."""
    record_predictions(batches=[make_batch(2, time=now(), ids=["a", "b"], labels=["7", "7"])])


def test_whoever_predicts_or_watches_may_give_feedback_and_nobody_else(recorded: None) -> None:
    item = {"prediction_id": "a", "label": "7"}
    assert PREDICTOR.post(FEEDBACK, item).json() == {"joined": 1, "repeated": 0, "pending": 0}
    assert WATCHER.post(FEEDBACK, item).json() == {"joined": 0, "repeated": 1, "pending": 0}
    assert TRAINER.post(FEEDBACK, item).status_code == 403
    assert Client().post(FEEDBACK, item, content_type="application/json").status_code == 401


def test_feedback_is_read_by_whoever_watches_and_says_who_gave_it(recorded: None) -> None:
    PREDICTOR.post(
        FEEDBACK,
        {"items": [{"prediction_id": "a", "label": 7}, {"prediction_id": "c", "label": "1", "source": "desk"}]},
    )
    answer = WATCHER.get(FEEDBACK + "?ordering=received_at&is_pending=false").json()
    assert [(f["prediction_id"], f["label"], f["source"]) for f in answer["results"]] == [("a", "7", "ada")]
    assert WATCHER.get(FEEDBACK + "?is_pending=true").json()["results"][0]["source"] == "desk"
    assert Window.objects.get().correct == 1


@pytest.mark.parametrize(
    "body,words",
    [
        ({"label": "7"}, "prediction_id"),
        ({"prediction_id": "a"}, "either a label or a value"),
        ({"prediction_id": "a", "label": ["7"]}, "label"),
        ({"items": "a"}, "items must be a list"),
        ([1], "feedback"),
    ],
)
def test_feedback_that_cannot_be_read_is_refused_with_the_rule(body: Any, words: str) -> None:
    answer = PREDICTOR.post(FEEDBACK, body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_report_answers_what_the_page_shows(recorded: None) -> None:
    report = WATCHER.get("/api/monitoring/reports/?endpoint=digits&version=1&period_s=600").json()
    assert report["traffic"]["predictions"] == 2
    assert report["latency_ms"]["p50"] == 5.0
    assert report["predictions"]["labels"] == {"7": 2}
    assert report["verdict"]["health"] == "not_enough_data"
    assert sum(point["predictions"] for point in report["series"]) == 2


@pytest.mark.parametrize(
    "query,status",
    [("", 400), ("endpoint=digits", 400), ("endpoint=digits&version=x", 400), ("endpoint=digits&version=9", 404),
     ("endpoint=digits&version=1&period_s=1", 400)],
)  # fmt: skip
def test_a_report_that_cannot_be_made_says_why(recorded: None, query: str, status: int) -> None:
    answer = WATCHER.get(f"/api/monitoring/reports/?{query}")
    assert answer.status_code == status
    assert answer.json()["error"]


def test_versions_are_listed_and_filtered(recorded: None) -> None:
    record_predictions(batches=[make_batch(1, time=now(), version=2)])
    assert {v["version"] for v in WATCHER.get("/api/monitoring/versions/?endpoint=digits").json()["results"]} == {1, 2}
    assert WATCHER.get("/api/monitoring/versions/?version=2").json()["count"] == 1


def test_any_metric_can_be_measured(recorded: None) -> None:
    names = [metric["name"] for metric in WATCHER.get("/api/monitoring/metrics/").json()]
    for name in names:
        answer = WATCHER.get(f"/api/monitoring/measurements/?metric={name}&endpoint=digits&window_s=600")
        assert (answer.status_code, answer.json()["metric"]) == (200, name)
    assert WATCHER.get("/api/monitoring/measurements/?metric=prediction_count&endpoint=digits").json()["value"] == 2.0


def test_a_prediction_is_traced_even_while_training_is_away(recorded: None) -> None:
    PREDICTOR.post(FEEDBACK, {"prediction_id": "a", "label": "1"})
    trace = WATCHER.get("/api/monitoring/predictions/a/").json()
    assert (trace["endpoint"], trace["model"], trace["version"]) == ("digits", "digits-model", 1)
    assert (trace["rows"][0]["label"], trace["rows"][0]["feedback"]["label"]) == ("7", "1")
    assert trace["lineage"] is None and trace["lineage_error"]
    assert WATCHER.get("/api/monitoring/predictions/nobody/").status_code == 404


def test_someone_who_may_only_predict_cannot_read_statistics(recorded: None) -> None:
    for path in ("versions/", "metrics/", "predictions/a/", "reports/?endpoint=digits&version=1"):
        assert PREDICTOR.get(f"/api/monitoring/{path}").status_code == 403
