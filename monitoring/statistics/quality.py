"""Metrics of the data's quality; of several versions the worst."""

from __future__ import annotations

from collections.abc import Callable

from monitoring.performance.results import Estimate, FeatureQuality, QualityResult
from monitoring.performance.selectors import get_quality
from monitoring.statistics.question import Answer, Measurement, MetricInfo, Question, catalogue


def _qualities(question: Question) -> list[tuple[int, QualityResult]]:
    readings = question.readings
    return [
        (version, readings.once(get_quality, question.endpoint, version, question.period, readings))
        for version in question.totals_by_version
    ]


def _whole(choose: Callable[[QualityResult], Estimate]) -> Answer:
    def answer(question: Question) -> Measurement:
        return _worst(question, [(choose(quality), {"version": v}) for v, quality in _qualities(question)])

    return answer


def _feature(choose: Callable[[FeatureQuality], Estimate]) -> Answer:
    def answer(question: Question) -> Measurement:
        found = [
            (choose(feature), {"version": version, "feature": feature.feature})
            for version, quality in _qualities(question)
            for feature in quality.features
            if question.feature in (None, "", feature.feature)
        ]
        return _worst(question, found)

    return answer


def _worst(question: Question, found: list[tuple[Estimate, dict[str, object]]]) -> Measurement:
    known = [(e.value, e, detail) for e, detail in found if e.value is not None]
    if not known:
        return question.answer(None, 0, reason="no data" if not found else "nothing to judge by")
    value, estimate, detail = max(known, key=lambda item: item[0])
    return question.answer(value, estimate.samples, low=estimate.low, high=estimate.high, **detail)


def _constant(question: Question) -> Measurement:
    found = _qualities(question)
    rows = max((quality.rows for _, quality in found), default=0)
    if not rows:
        return question.answer(None, 0)
    names = [{feature.feature for feature in quality.features if feature.is_constant} for _, quality in found]
    return question.answer(float(max(map(len, names))), rows, features=sorted(set().union(*names)))


QUALITY = catalogue(
    (MetricInfo(name="schema_violation_rate", unit="share", help="Share of requests refused for what they held"),
     _whole(lambda quality: quality.schema_violations)),
    (MetricInfo(name="duplicate_share", unit="share", help="Share of rows seen before in the period"),
     _whole(lambda quality: quality.duplicates)),
    (MetricInfo(name="missing_share", unit="share", needs_feature=True,
                help="Share of rows without a value; the worst feature's if none is named"),
     _feature(lambda feature: feature.missing)),
    (MetricInfo(name="out_of_range_share", unit="share", needs_feature=True,
                help="Share of rows out of the baseline's range; the worst feature's if none is named"),
     _feature(lambda feature: feature.out_of_range)),
    (MetricInfo(name="new_category_share", unit="share", needs_feature=True,
                help="Share of rows with a category new since training; the worst feature's if none is named"),
     _feature(lambda feature: feature.new_category_share)),
    (MetricInfo(name="constant_features", unit="features", help="Features with one value alone, unlike the baseline's"),
     _constant),
)  # fmt: skip
