"""Forms of the public REST API."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from rest_framework import serializers

from aiplatform.contracts.monitoring import FeedbackItem
from aiplatform.errors import InvalidInputError
from monitoring.models import Feedback, ServedVersion

MAX_ITEMS = 10_000  # feedback in one call


class ServedVersionSerializer(serializers.ModelSerializer[ServedVersion]):
    """A version that has windows."""

    class Meta:
        model = ServedVersion
        fields: ClassVar[list[str]] = [
            "endpoint", "model", "version", "artifact_uri", "artifact_digest", "first_seen_at", "last_seen_at",
        ]  # fmt: skip


class FeedbackSerializer(serializers.ModelSerializer[Feedback]):
    """Feedback as it is kept."""

    prediction_id = serializers.CharField(source="prediction_key")

    class Meta:
        model = Feedback
        fields: ClassVar[list[str]] = ["prediction_id", "row", "label", "value", "source", "is_pending", "received_at"]


class FeedbackItemSerializer(serializers.Serializer[Any]):
    """The truth about one row of a prediction: a label or a value."""

    prediction_id = serializers.CharField(max_length=64, help_text="From the header X-Prediction-Id")
    row = serializers.IntegerField(default=0, min_value=0, help_text="Row of the request, from 0")
    label = serializers.CharField(required=False, max_length=200)  # type: ignore[assignment]  # hides Field.label
    value = serializers.FloatField(required=False)
    source = serializers.CharField(  # type: ignore[assignment]  # hides Field.source
        required=False, max_length=100, help_text="Who says so; the caller's name by default"
    )


class BulkFeedbackSerializer(serializers.Serializer[Any]):
    """Feedback in bulk."""

    items = FeedbackItemSerializer(many=True)


class FeedbackReceiptSerializer(serializers.Serializer[Any]):
    """What became of the items."""

    joined = serializers.IntegerField(help_text="Joined a prediction, or corrected an earlier label")
    repeated = serializers.IntegerField(help_text="Said what was known")
    pending = serializers.IntegerField(help_text="Wait for a prediction that has not arrived")


class MetricSerializer(serializers.Serializer[Any]):
    """What can be measured."""

    name = serializers.CharField()
    unit = serializers.CharField()
    help = serializers.CharField()
    needs_feature = serializers.BooleanField()
    zero_is_data = serializers.BooleanField()


class MeasurementSerializer(serializers.Serializer[Any]):
    """One measured value; null is no data, or not enough."""

    metric = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    samples = serializers.IntegerField()
    detail = serializers.DictField()


class PredictionRowSerializer(serializers.Serializer[Any]):
    """One row of an answer, with its truth if it is known."""

    row = serializers.IntegerField()
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    confidence = serializers.FloatField(allow_null=True)
    value = serializers.FloatField(allow_null=True)
    feedback = serializers.DictField(allow_null=True)


class PredictionTraceSerializer(serializers.Serializer[Any]):
    """Everything behind an answer."""

    prediction_id = serializers.CharField()
    endpoint = serializers.CharField()
    model = serializers.CharField()
    version = serializers.IntegerField()
    artifact_uri = serializers.CharField()
    artifact_digest = serializers.CharField()
    time = serializers.DateTimeField()
    rows = PredictionRowSerializer(many=True)
    lineage = serializers.DictField(
        allow_null=True, help_text="Run, recipe, parameters, data fingerprint, commit, packages, seed"
    )
    lineage_error = serializers.CharField(help_text="Why there is no lineage")
    stored = serializers.ListField(
        child=serializers.DictField(),
        help_text="What was kept whole, row by row: inputs, outputs, trace id, latency, status, truth",
    )
    stored_error = serializers.CharField(help_text="Why the prediction store could not be read")


def read_feedback(data: Any, *, source: str) -> list[FeedbackItem]:
    """Return the items of a body that is one item or `{"items": [...]}`.

    Raises: InvalidInputError naming the field and the rule.
    """
    items = data["items"] if isinstance(data, dict) and "items" in data else [data]
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise InvalidInputError(f"items must be a list of at most {MAX_ITEMS}")
    try:
        return [msgspec.convert(_named(item, source), FeedbackItem) for item in items]
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"feedback: {error}") from error


def _named(item: Any, source: str) -> Any:
    if not isinstance(item, dict):
        return item
    label = item.get("label")
    if isinstance(label, int) and not isinstance(label, bool):
        item = {**item, "label": str(label)}  # class names are texts; a 7 can only mean "7"
    return {"source": source, **item}
