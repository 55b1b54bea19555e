"""Metrics of the features themselves, beside those of their quality: how many values a category has."""

from __future__ import annotations

from aiplatform.profiles import CategoryProfile, DataProfile
from monitoring.selectors import merge_profiles
from monitoring.statistics.question import Measurement, MetricInfo, Question, catalogue


def _distinct(question: Question) -> Measurement:
    if question.version is None:
        features = merge_profiles(question.windows).features
    else:
        features = question.profiles.get(question.version, DataProfile()).features
    found = {
        name: profile
        for name, profile in features.items()
        if isinstance(profile, CategoryProfile) and profile.count and question.feature in (None, "", name)
    }
    if not found:
        return question.answer(None, 0)
    name, profile = max(found.items(), key=lambda item: item[1].distinct)
    return question.answer(float(profile.distinct), profile.count, feature=name, is_exact=profile.is_exact)


FEATURES = catalogue(
    (
        MetricInfo(
            name="distinct_count",
            unit="values",
            needs_feature=True,
            help="Different values of a category, estimated if their names do not fit; the greatest if none is named",
        ),
        _distinct,
    ),
)
