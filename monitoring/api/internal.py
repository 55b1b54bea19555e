"""The contract that `aiplatform.contracts.monitoring` names, served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from aiplatform.contracts.monitoring import (
    CompareProfiles,
    FeedbackReceipt,
    IngestReceipt,
    ProfileDrift,
    RecordComparisons,
    RecordFeedback,
    RecordPredictions,
    StorePolicies,
    VersionReport,
)
from aiplatform.errors import InvalidInputError
from aiplatform.http.views import internal_view, read_message
from aiplatform.profiles import DataProfile
from monitoring.api.queries import read_report_query
from monitoring.drift.table import compare_profiles
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.reports.document import report_to_dict
from monitoring.reports.report import build_period_report
from monitoring.rollouts.comparisons import record_comparisons
from monitoring.selectors import drift_limits
from monitoring.store.policies import get_policies


@internal_view
def predictions(request: HttpRequest) -> IngestReceipt:
    """Count predictions."""
    return record_predictions(batches=read_message(request, RecordPredictions).batches)


@internal_view
def feedback(request: HttpRequest) -> FeedbackReceipt:
    """Keep true labels."""
    return record_feedback(items=read_message(request, RecordFeedback).items)


@internal_view
def comparisons(request: HttpRequest) -> IngestReceipt:
    """Count what shadows were found to answer."""
    return record_comparisons(read_message(request, RecordComparisons))


@internal_view
def report(request: HttpRequest) -> VersionReport:
    """Answer a performance report."""
    query = read_report_query(request.GET)
    found = build_period_report(endpoint=query.endpoint, version=query.version, period=query.period())
    return VersionReport(
        endpoint=query.endpoint, version=query.version, period_s=query.period_s, report=report_to_dict(found)
    )


@internal_view
def profile_drift(request: HttpRequest) -> ProfileDrift:
    """Answer what the drift tests say of two profiles."""
    order = read_message(request, CompareProfiles)
    profiles = [_read_profile(name, data) for name, data in (("baseline", order.baseline), ("window", order.window))]
    return ProfileDrift(table=compare_profiles(profiles[0], profiles[1], drift_limits()).to_dict())


def _read_profile(name: str, data: Mapping[str, Any]) -> DataProfile:
    try:
        return DataProfile.from_dict(data)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InvalidInputError(f"'{name}' is no data profile: {type(error).__name__}: {error}") from error


@internal_view
def store_policies(request: HttpRequest) -> StorePolicies:
    """Answer what to keep in the prediction store."""
    return get_policies()
