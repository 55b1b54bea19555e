"""What Prometheus sees of drift, accuracy and ingestion."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from aiplatform.contracts.monitoring import FeedbackItem
from monitoring.feedback import record_feedback
from monitoring.gauges import update_gauges
from monitoring.ingestion import record_predictions
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db


def value(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(name, labels)
    assert found is not None, f"{name} {labels} is not there"
    return found


def test_gauges_show_drift_accuracy_and_coverage(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    held_out = random.normal(size=(500, 2))
    uri, digest = write_artifact(tmp_path, {"size": random.normal(size=500)}, embeddings=held_out)
    ids = [f"p{i}" for i in range(200)]
    batch = make_batch(
        200, endpoint="gauged", ids=ids, numeric={"size": random.normal(3, size=200)}, uri=uri, digest=digest,
        embedding=random.normal([0, 2], size=(200, 2)),
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id=i, label="7") for i in ids[:50]])
    update_gauges(now=NOW)
    version = {"endpoint": "gauged", "version": "1"}
    assert value("aiplatform_drift_score", **version, feature="size") > 1
    assert value("aiplatform_accuracy", **version) == 1.0
    assert value("aiplatform_label_coverage", **version) == 0.25
    assert value("aiplatform_ingested_predictions_total", **version) == 200
    assert math.isnan(value("aiplatform_prediction_drift_score", **version))
    assert value("aiplatform_embedding_drift_score", **version) > 1, "of the worst dimension"


def test_one_version_that_cannot_be_measured_leaves_the_gauges_unknown() -> None:
    record_predictions(batches=[make_batch(5, endpoint="unlabelled")], now=NOW)
    update_gauges(now=NOW)
    assert math.isnan(value("aiplatform_accuracy", endpoint="unlabelled", version="1"))


def test_what_the_gauges_of_a_version_stand_on_is_read_once(django_assert_max_num_queries: Any) -> None:
    record_predictions(batches=[make_batch(5, endpoint="read-once")], now=NOW)
    update_gauges(now=NOW)
    with django_assert_max_num_queries(4):  # versions, counts, baseline, profiles
        update_gauges(now=NOW)
