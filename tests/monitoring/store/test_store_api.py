"""Policies, deletions and exports over REST and in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from aiplatform.identity import Scope
from monitoring.models import PredictionDeletion, PredictionPolicy
from monitoring.store.checks import check_store_settings
from monitoring.store.policies import get_policies
from monitoring.store.requests import read_requests
from tests.monitoring.api.test_public_api import Caller
from tests.monitoring.store.stored import a_prediction, store

ADMIN, WATCHER = Caller(Scope.ADMIN), Caller(Scope.MONITOR)
POLICIES, DELETIONS = "/api/monitoring/prediction-policies/", "/api/monitoring/prediction-deletions/"
EXPORT = "/api/monitoring/prediction-exports/?endpoint=credit&since=2026-11-22T00:00:00Z&until=2026-11-23T00:00:00Z"
POLICY = {"endpoint": "credit", "sample_share": 0.5, "retention_days": 7, "redacted_features": ["job"]}


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada", "ada@example.org", "a-long-password"))
    return client


def test_a_policy_is_made_changed_followed_and_taken_away(settings: Any) -> None:
    settings.STORE_SAMPLE_SHARE = 0.25
    assert ADMIN.post(POLICIES, POLICY).status_code == 201
    assert ADMIN.call("PATCH", f"{POLICIES}credit/", {"sample_share": 0.75}).json()["sample_share"] == 0.75
    policies = get_policies()
    assert policies.of("credit").redacted_features == ("job",) and policies.of("credit").sample_share == 0.75
    assert policies.of("other").sample_share == 0.25
    assert ADMIN.call("DELETE", f"{POLICIES}credit/").status_code == 204
    assert get_policies().of("credit").sample_share == 0.25


@pytest.mark.parametrize(
    "wrong", [{"sample_share": 1.5}, {"sample_share": -1}, {"retention_days": 0}, {"inputs": "some"},
              {"redacted_features": "job"}, {"max_row_bytes": -5}],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    assert ADMIN.post(POLICIES, {**POLICY, **wrong}).status_code == 400
    assert not PredictionPolicy.objects.exists()


def test_only_administrators_change_anything_or_take_the_store_out() -> None:
    assert WATCHER.get(POLICIES).status_code == 200 and WATCHER.get(DELETIONS).status_code == 200
    assert WATCHER.post(POLICIES, POLICY).status_code == 403
    assert WATCHER.post(DELETIONS, {"subject": "bob"}).status_code == 403
    assert WATCHER.get(EXPORT).status_code == 403
    for path in (POLICIES, DELETIONS, EXPORT):
        assert Client().get(path).status_code == 401


def test_predictions_are_deleted_over_rest_and_the_order_names_the_caller() -> None:
    event = a_prediction(subject="bob")
    store(event)
    answer = ADMIN.post(DELETIONS, {"subject": "bob", "reason": "asked"})
    assert answer.status_code == 201
    assert answer.json()["by_subject"] is True and answer.json()["requested_by"] == "ada"
    assert "bob" not in ADMIN.get(DELETIONS).content.decode()
    assert read_requests("credit", limit=9) == []
    assert ADMIN.post(DELETIONS, {}).status_code == 400


def test_an_export_is_streamed_with_a_name() -> None:
    event = a_prediction()
    store(event)
    answer = ADMIN.get(EXPORT + "&format=csv")
    assert answer.streaming and answer["Content-Type"] == "text/csv"
    assert answer["Content-Disposition"] == 'attachment; filename="credit.csv"'
    assert event.prediction_id in b"".join(answer.streaming_content).decode()
    assert b"".join(ADMIN.get(EXPORT + "&format=parquet").streaming_content)[:4] == b"PAR1"


@pytest.mark.parametrize("wrong", ["&format=xls", "&since=yesterday", "&version=one", "&endpoint=../x"])
def test_a_query_that_makes_no_sense_is_refused_with_a_reason(wrong: str) -> None:
    answer = ADMIN.get(EXPORT + wrong)
    assert answer.status_code == 400 and answer.json()["error"]


def test_the_console_makes_a_policy_from_names_with_commas(staff: Client) -> None:
    form = {
        "endpoint": "credit", "sample_share": "0.5", "retention_days": "7", "inputs": "full", "max_row_bytes": "1000",
        "kept_features": "", "redacted_features": "job, name", "hashed_features": "zip",
    }  # fmt: skip
    assert staff.post("/admin/monitoring/predictionpolicy/add/", form).status_code == 302
    policy = PredictionPolicy.objects.get()
    assert (policy.kept_features, policy.redacted_features, policy.hashed_features) == ([], ["job", "name"], ["zip"])
    page = staff.get(f"/admin/monitoring/predictionpolicy/{policy.pk}/change/").content.decode()
    assert 'value="job, name"' in page
    assert "50%" in staff.get("/admin/monitoring/predictionpolicy/").content.decode()


def test_the_console_deletes_after_asking_and_lists_the_orders(staff: Client) -> None:
    event = a_prediction()
    store(event)
    path = "/admin/monitoring/predictiondeletion/add/"
    assert "cannot be brought back" in staff.get(path).content.decode()
    assert staff.post(path, {"prediction_ids": "", "subject": ""}).status_code == 200
    assert not PredictionDeletion.objects.exists()
    assert staff.post(path, {"prediction_ids": event.prediction_id, "reason": "asked"}).status_code == 302
    assert read_requests("credit", limit=9) == []
    page = staff.get("/admin/monitoring/predictiondeletion/").content.decode()
    assert "asked" in page and "removed" in page


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("STORE_SAMPLE_SHARE", 2.0, "monitoring.E050"),
        ("STORE_RETENTION_DAYS", 0.0, "monitoring.E051"),
        ("STORE_SPOOL_MAX_BYTES", 10, "monitoring.E051"),
        ("STORE_INPUTS", "some", "monitoring.E052"),
        ("PREDICTION_HASH_SECRETS", ["short"], "monitoring.E053"),
        ("PREDICTION_HASH_SECRETS", [], "monitoring.W050"),
    ],
)
def test_settings_that_cannot_work_are_found(settings: Any, name: str, value: Any, check: str) -> None:
    settings.DEBUG = False
    settings.PREDICTION_HASH_SECRETS = ["a" * 32]
    assert check_store_settings(None) == []
    setattr(settings, name, value)
    assert [problem.id for problem in check_store_settings(None)] == [check]
