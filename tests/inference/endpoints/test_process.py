"""What the app announces, counts and checks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from aiplatform.contracts.monitoring import RecordPredictions
from aiplatform.hot_metrics import flush_metrics
from aiplatform.wiring import wiring
from inference import checks, metrics
from inference.recording import job
from inference.recording.columns import build_batches
from inference.replica import readiness, this_replica
from inference.versions import resolve_version  # noqa: F401 - importing the app starts nothing
from tests.inference.recording.fakes import event


def sample(name: str, **labels: str) -> float:
    flush_metrics()
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_are_counted_by_status_and_only_answers_are_timed() -> None:
    counting = metrics.PrometheusMetrics()
    for status in (200, 200, 503):
        counting.count_prediction(endpoint="counted", version=3, http_status=status, latency_s=0.003)
    labels = {"endpoint": "counted", "version": "3"}
    assert sample("aiplatform_predictions_total", **labels, status="200") == 2
    assert sample("aiplatform_predictions_total", **labels, status="503") == 1
    assert sample("aiplatform_prediction_latency_seconds_count", **labels) == 2


def test_batches_queues_drops_and_readiness_are_counted() -> None:
    counting = metrics.PrometheusMetrics()
    counting.observe_batch(endpoint="counted", version=4, rows=8)
    counting.set_queue_depth(endpoint="counted", version=4, rows=5)
    metrics.set_endpoint_ready("counted", False)
    before = sample("aiplatform_recorder_dropped_total", reason="spool_full")
    metrics.count_dropped(7, "spool_full")
    labels = {"endpoint": "counted", "version": "4"}
    assert sample("aiplatform_batch_rows_sum", **labels) == 8
    assert sample("aiplatform_queue_rows", **labels) == 5
    assert sample("aiplatform_endpoint_ready", endpoint="counted") == 0
    assert sample("aiplatform_recorder_dropped_total", reason="spool_full") - before == 7


def test_the_app_announces_how_it_serves_and_starts_nothing() -> None:
    assert wiring.predict_application is not None
    assert "inference" in [lifespan.name for lifespan in wiring.lifespans]
    assert "endpoints" in [panel.name for panel in wiring.panels]
    assert "prediction-shipping" in [job.name for job in wiring.jobs]
    assert not this_replica.cache_info().currsize
    assert readiness() == {"is_ready": False, "detail": "serving has not been started in this process"}


def test_settings_that_could_not_work_are_found_before_the_start(settings: Any) -> None:
    assert checks.check_bounds(None) == []
    settings.RECONCILE_INTERVAL_S = 0
    settings.SPOOL_MAX_BYTES = 10
    assert [problem.id for problem in checks.check_bounds(None)] == ["inference.E001", "inference.E005"]
    settings.MAX_QUEUE_ROWS, settings.MAX_BATCH_ROWS = 8, 64
    (problem,) = checks.check_queue(None)
    assert problem.id == "inference.E008" and problem.hint


def test_an_engine_that_does_not_exist_is_refused_at_the_start(settings: Any) -> None:
    assert checks.check_engine_setting(None) == []
    settings.ENGINE = "cuda"
    [problem] = checks.check_engine_setting(None)
    assert problem.id == "inference.E011" and "onnxruntime" in str(problem.hint)


@pytest.mark.parametrize("nice", [-1, 20])
def test_a_priority_that_the_kernel_does_not_know_is_found_before_the_start(settings: Any, nice: int) -> None:
    assert checks.check_shipping(None) == []
    settings.SHIPPING_NICE = nice
    (problem,) = checks.check_shipping(None)
    assert problem.id == "inference.E012" and str(nice) in problem.msg


def test_what_is_in_the_spool_reaches_monitoring_by_the_clocks_job(
    settings: Any, tmp_path: Path, transactional_db: None
) -> None:
    settings.DATA_DIR, settings.SHIPPING_NICE = tmp_path, 0
    spool = job.open_spool("worker")
    spool.open()
    (batch,) = build_batches([event(1, prediction_id=f"{7:032x}", time_s=time.time())], replica="w", max_rows=9)
    spool.append(RecordPredictions(batches=(batch,)))
    job._shipper.cache_clear()
    try:
        job.shipping_job().run()
        assert not spool.list_files()
        assert job.ship(RecordPredictions(batches=(batch,))).duplicates == 1  # it has been counted
        spool.close()
    finally:
        job._shipper().finish(1)
        job._shipper.cache_clear()
    assert not [path for path in (tmp_path / "spool").iterdir() if path.is_dir()]
