"""Metrics of traffic: errors, latency, throughput."""

from __future__ import annotations

from monitoring.selectors import has_served, latency_quantiles, merge_latency_of
from monitoring.statistics.question import Answer, Measurement, MetricInfo, Question, catalogue


def _error_rate(question: Question) -> Measurement:
    totals = question.totals
    rate = totals.errors / totals.requests if totals.requests else None
    return question.answer(rate, totals.requests, errors=totals.errors)


def _latency(rank: float) -> Answer:
    def answer(question: Question) -> Measurement:
        sketch = question.readings.once(merge_latency_of, question.endpoint, question.version, question.period)
        return question.answer(latency_quantiles(sketch, [rank])[0], int(sketch.n))

    return answer


def _prediction_count(question: Question) -> Measurement:
    rows = question.totals.rows
    return question.answer(float(rows) if rows or _is_known(question) else None, rows)


def _throughput(question: Question) -> Measurement:
    rows, seconds = question.totals.rows, question.period.seconds
    return question.answer(rows / seconds if rows or _is_known(question) else None, rows, seconds=seconds)


def _is_known(question: Question) -> bool:
    return question.readings.once(has_served, question.endpoint, question.version)


TRAFFIC = catalogue(
    (
        MetricInfo(name="error_rate", unit="share", help="Share of requests that ended in a server error (5xx)"),
        _error_rate,
    ),
    (MetricInfo(name="latency_p50_ms", unit="ms", help="Half of the answered requests were faster"), _latency(0.5)),
    (MetricInfo(name="latency_p95_ms", unit="ms", help="95% of the answered requests were faster"), _latency(0.95)),
    (MetricInfo(name="latency_p99_ms", unit="ms", help="99% of the answered requests were faster"), _latency(0.99)),
    (MetricInfo(name="throughput_per_s", unit="1/s", help="Predicted rows per second", zero_is_data=True), _throughput),
    (MetricInfo(name="prediction_count", unit="rows", help="Predicted rows", zero_is_data=True), _prediction_count),
)
