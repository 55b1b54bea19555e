"""Metrics of what the streaming detectors saw in the period."""

from __future__ import annotations

from monitoring.performance.changes import ACCURACY, FEATURE, LOOK_BACK, list_changes, list_streams
from monitoring.statistics.question import Measurement, MetricInfo, Question, catalogue


def _accuracy(question: Question) -> Measurement:
    return _count(question, [ACCURACY], is_worse_only=True)


def _feature(question: Question) -> Measurement:
    streams = [s.stream for s in list_streams(question.endpoint, question.version) if s.stream.startswith(FEATURE)]
    wanted = [FEATURE + question.feature] if question.feature else sorted(set(streams))
    return _count(question, wanted, is_worse_only=False)


def _count(question: Question, streams: list[str], *, is_worse_only: bool) -> Measurement:
    """Count changes; nobody can say while no stream is watched."""
    watched = list_streams(question.endpoint, question.version).filter(
        stream__in=streams, seen_until__gte=question.period.start - LOOK_BACK
    )
    windows = watched.count()
    if not windows:
        return question.answer(None, 0)
    period = question.period
    changes = list_changes(question.endpoint, question.version, since=period.start, until=period.end)
    found = [c for c in changes if c.stream in streams and (not is_worse_only or c.after < c.before)]
    told = [
        {"stream": c.stream, "detector": c.detector, "at": c.at.isoformat(), "before": c.before, "after": c.after}
        for c in found[:10]
    ]
    return question.answer(float(len(found)), windows, changes=told)


CHANGES = catalogue(
    (MetricInfo(name="accuracy_change_detected", unit="changes",
                help="How often ADWIN or Page-Hinkley saw realised accuracy fall"), _accuracy),
    (MetricInfo(name="feature_change_detected", unit="changes", needs_feature=True,
                help="How often ADWIN or Page-Hinkley saw a feature's mean change; of all features if none is named"),
     _feature),
)  # fmt: skip
