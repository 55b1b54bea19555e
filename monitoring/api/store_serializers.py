"""The JSON of the prediction store: policies, deletions, and the queries of exports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from rest_framework import serializers

from aiplatform.errors import InvalidInputError
from monitoring.models import PredictionDeletion, PredictionPolicy
from monitoring.store.deletion import MAX_IDS
from monitoring.store.exporting import ExportOrder


class PolicySerializer(serializers.ModelSerializer[PredictionPolicy]):
    """What the store keeps of an endpoint's predictions."""

    kept_features = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=1000)
    redacted_features = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=1000
    )
    hashed_features = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=1000
    )

    class Meta:
        model = PredictionPolicy
        fields = (
            "endpoint", "sample_share", "retention_days", "inputs", "kept_features", "redacted_features",
            "hashed_features", "max_row_bytes", "updated_at",
        )  # fmt: skip
        read_only_fields = ("updated_at",)


class DeletionSerializer(serializers.ModelSerializer[PredictionDeletion]):
    """An order to forget predictions, and how far it is."""

    by_subject = serializers.SerializerMethodField(help_text="Whether a subject was named; the name is not kept.")

    class Meta:
        model = PredictionDeletion
        fields = (
            "id", "by_subject", "predictions", "state", "stored_rows", "index_rows", "feedback_rows", "requested_by",
            "reason", "requested_at", "finished_at", "error",
        )  # fmt: skip

    def get_by_subject(self, order: PredictionDeletion) -> bool:
        """Say whether it is about a subject."""
        return bool(order.pseudonyms)


class NewDeletionSerializer(serializers.Serializer[Any]):
    """Whose predictions, or which, are to be forgotten."""

    prediction_ids = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=MAX_IDS, default=list
    )
    subject = serializers.CharField(required=False, default="", max_length=1000, help_text="As X-Subject-Id had it.")
    reason = serializers.CharField(required=False, default="", max_length=500)


class _ExportQuery(msgspec.Struct, frozen=True):
    endpoint: str
    since: datetime
    until: datetime | None = None
    form: str = msgspec.field(default="csv", name="format")
    version: int | None = None


def read_export_query(query: Mapping[str, str]) -> ExportOrder:
    """Return the order in a query string; InvalidInputError names what is missing or wrong."""
    given = {name: query[name] for name in query if query[name] != ""}
    try:
        read = msgspec.convert(given, _ExportQuery, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the query: {error}") from error
    return ExportOrder(
        endpoint=read.endpoint, since=_aware(read.since), until=_aware(read.until or datetime.now(UTC)),
        form=read.form, version=read.version,
    )  # fmt: skip


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
