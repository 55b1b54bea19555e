"""Each app's contract as its callers use it, over both transports."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from aiplatform.contracts.columns import Numbers, PredictionIds, Texts
from aiplatform.contracts.inference import DeployVersion, InferenceClient, PredictRows, RollBackEndpoint
from aiplatform.contracts.monitoring import (
    ClassScores,
    CompareProfiles,
    FeedbackItem,
    MonitoringClient,
    PredictionBatch,
    RecordFeedback,
    RecordPredictions,
)
from aiplatform.contracts.training import Holding, ReportHoldings, TrainingClient
from aiplatform.errors import InvalidInputError, NotFoundError, PlatformError
from aiplatform.profiles import DataProfile
from monitoring.models import PredictionPolicy
from monitoring.performance.selectors import get_performance, get_quality
from monitoring.selectors import Period
from tests.contracts.conftest import NewClient

NOW_S = time.time()
BATCH = PredictionBatch(
    batch_id="b1", replica="r1", endpoint="digits", model="digits", version=1, artifact_uri="file:///nowhere",
    artifact_digest="sha256:0", row_count=2, prediction_ids=PredictionIds.pack(["p1", "p1"]),
    rows=Numbers.pack([0, 1], "u4"), times_s=Numbers.pack([NOW_S, NOW_S]), latencies_ms=Numbers.pack([1.0, 1.0]),
    http_statuses=Numbers.pack([200, 200], "u2"), numeric_features={"brightness": Numbers.pack([1.0, float("nan")])},
    predicted_labels=Texts.pack(["3", "7"]), confidences=Numbers.pack([0.9, 0.8]),
)  # fmt: skip


@pytest.mark.parametrize("name", ["no-such-model", "no such model", "ä"])
def test_training_says_not_found_for_what_it_does_not_have(new_client: NewClient, name: str) -> None:
    training = TrainingClient(new_client(service="training"))
    with pytest.raises(NotFoundError):
        training.get_model_version(name, "latest")
    with pytest.raises(NotFoundError):
        training.get_lineage(name, 1)


def test_training_keeps_what_a_serving_process_says_last(new_client: NewClient) -> None:
    training = TrainingClient(new_client(service="training"))
    digits = Holding(endpoint="digits", model="digits", version=1, memory_bytes=5, gpus={"GPU-0": 7})
    report = ReportHoldings(replica="r1", machine="m", host="h", expires_s=60.0, holdings=(digits, Holding()))
    assert [training.report_holdings(report).kept for _ in range(2)] == [2, 2]
    assert training.report_holdings(replace(report, holdings=())).kept == 0
    with pytest.raises(InvalidInputError, match="expires_s"):
        training.report_holdings(replace(report, expires_s=-1.0))


def test_inference_lists_no_endpoints_and_finds_none(new_client: NewClient) -> None:
    inference = InferenceClient(new_client(service="inference"))
    assert inference.list_endpoints().endpoints == ()
    with pytest.raises(NotFoundError):
        inference.get_endpoint("no-such-endpoint")
    with pytest.raises(NotFoundError):
        inference.predict_rows(PredictRows(endpoint="no-such-endpoint", instances=([1.0],)))


def test_inference_deploys_nothing_that_training_does_not_have(new_client: NewClient) -> None:
    inference = InferenceClient(new_client(service="inference"))
    with pytest.raises(PlatformError):
        inference.deploy_version(DeployVersion(endpoint="digits", model="digits", reference="latest"))
    assert inference.list_endpoints().endpoints == ()


def test_inference_rolls_back_nothing_that_is_not_there(new_client: NewClient) -> None:
    order = RollBackEndpoint(endpoint="digits", actor="ada", reason="drift", idempotency_key="k1")
    with pytest.raises(NotFoundError):
        InferenceClient(new_client(service="inference")).roll_back_endpoint(order)


def test_monitoring_counts_a_batch_that_arrives_twice_once(new_client: NewClient) -> None:
    monitoring = MonitoringClient(new_client(service="monitoring"))
    order = RecordPredictions(batches=(BATCH,))
    assert (monitoring.record_predictions(order).accepted, monitoring.record_predictions(order).duplicates) == (1, 1)


def test_monitoring_joins_feedback_once_and_keeps_what_is_early(new_client: NewClient) -> None:
    monitoring = MonitoringClient(new_client(service="monitoring"))
    monitoring.record_predictions(RecordPredictions(batches=(BATCH,)))
    known, early = FeedbackItem(prediction_id="p1", label="3"), FeedbackItem(prediction_id="p9", label="3")
    first = monitoring.record_feedback(RecordFeedback(items=(known, early)))
    again = monitoring.record_feedback(RecordFeedback(items=(known,)))
    assert (first.joined, first.pending, again.joined, again.repeated) == (1, 1, 0, 1)


def test_monitoring_takes_scores_and_the_codes_of_refusals(new_client: NewClient) -> None:
    monitoring = MonitoringClient(new_client(service="monitoring"))
    batch = replace(
        BATCH, batch_id="scored", http_statuses=Numbers.pack([200, 400], "u2"), rows=Numbers.pack([0, 0], "u4"),
        prediction_ids=PredictionIds.pack(["s1", "s2"]), error_codes=Texts.pack([None, "invalid_input"]),
        scores=ClassScores(classes=("3", "7"), codes=b"\x00\x40\xff\xff"),
    )  # fmt: skip
    assert monitoring.record_predictions(RecordPredictions(batches=(batch,))).accepted == 1
    monitoring.record_feedback(RecordFeedback(items=(FeedbackItem(prediction_id="s1", label="3"),)))
    period = Period.last(600, now=datetime.fromtimestamp(NOW_S + 60, UTC))  # other tests may have taken minutes
    assert get_quality("digits", 1, period).refused == {"invalid_input": 1}
    found = get_performance("digits", 1, period).classification
    assert found is not None
    assert found.log_loss.value == pytest.approx(math.log1p(math.exp(0x4000 * 32 / 65534 - 16)), abs=1e-6)


def test_monitoring_refuses_scores_that_do_not_fit(new_client: NewClient) -> None:
    monitoring = MonitoringClient(new_client(service="monitoring"))
    batch = replace(BATCH, batch_id="bad", scores=ClassScores(classes=("3", "7"), codes=b"\0"))
    with pytest.raises(InvalidInputError, match="scores"):
        monitoring.record_predictions(RecordPredictions(batches=(batch,)))


def test_monitoring_reports_on_a_version(new_client: NewClient) -> None:
    monitoring = MonitoringClient(new_client(service="monitoring"))
    monitoring.record_predictions(RecordPredictions(batches=(BATCH,)))
    report = monitoring.get_report("digits", 1, 3600)
    assert (report.endpoint, report.version, report.period_s) == ("digits", 1, 3600)


def test_monitoring_compares_two_profiles_that_it_has_never_seen(new_client: NewClient) -> None:
    monitoring, random = MonitoringClient(new_client(service="monitoring")), np.random.default_rng(0)
    profiles = [DataProfile(), DataProfile()]
    for profile, mean in zip(profiles, (0.0, 3.0), strict=True):
        profile.update({"income": random.normal(mean, 1, 500), "age": random.normal(40, 1, 500)})
    order = CompareProfiles(baseline=profiles[0].to_dict(), window=profiles[1].to_dict())
    table = monitoring.compare_profiles(order).table
    verdicts = {column["column"]: column["verdict"] for column in table["features"]}
    assert verdicts == {"age": "ok", "income": "drifted"}
    with pytest.raises(InvalidInputError, match="'window' is no data profile"):
        monitoring.compare_profiles(replace(order, window={"rows": 1}))


def test_monitoring_tells_what_the_prediction_store_keeps(new_client: NewClient) -> None:
    PredictionPolicy.objects.create(
        endpoint="faces", sample_share=0.5, retention_days=7, inputs="none", hashed_features=["name"]
    )
    policies = MonitoringClient(new_client(service="monitoring")).get_store_policies()
    assert policies.of("faces").inputs == "none" and policies.of("faces").hashed_features == ("name",)
    assert policies.of("digits") == policies.default
