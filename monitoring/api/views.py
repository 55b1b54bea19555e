"""The public REST API of statistics: versions, measurements, feedback, predictions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Identity, Scope
from monitoring.api import serializers as shapes
from monitoring.api.permissions import MayGiveFeedback
from monitoring.api.queries import read_measure_query
from monitoring.feedback import record_feedback
from monitoring.lineage import trace_prediction, trace_to_dict
from monitoring.models import Feedback, ServedVersion
from monitoring.selectors import list_feedback, list_served_versions
from monitoring.statistics import METRICS, measure

_ENDPOINT = OpenApiParameter("endpoint", str, required=True)


def _caller(request: Request) -> str:
    return request.auth.username if isinstance(request.auth, Identity) else ""


@extend_schema(tags=["monitoring"], summary="List the versions that have statistics")
class ServedVersionList(ListAPIView[ServedVersion]):
    """Versions that have answered predictions, last used first."""

    required_scope = Scope.MONITOR
    serializer_class = shapes.ServedVersionSerializer
    filterset_fields = ("endpoint", "model", "version")
    ordering_fields = ("endpoint", "version", "first_seen_at", "last_seen_at")

    def get_queryset(self) -> QuerySet[ServedVersion]:
        """Return all of them."""
        return list_served_versions()


class MetricList(APIView):
    """What alert rules and measurements may ask for."""

    required_scope = Scope.MONITOR

    @extend_schema(
        tags=["monitoring"], summary="List what can be measured", responses=shapes.MetricSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Answer all metrics."""
        return Response([asdict(info) for info in METRICS.values()])


class MeasurementView(APIView):
    """One metric, measured now."""

    required_scope = Scope.MONITOR

    @extend_schema(
        tags=["monitoring"],
        summary="Measure one metric",
        parameters=[
            OpenApiParameter("metric", str, required=True, enum=sorted(METRICS)),
            _ENDPOINT,
            OpenApiParameter("version", int, description="Without it: all versions together"),
            OpenApiParameter("window_s", int, default=300, description="How far back, seconds"),
            OpenApiParameter("feature", str, description="For drift: one feature instead of the worst"),
        ],
        responses=shapes.MeasurementSerializer,
    )
    def get(self, request: Request) -> Response:
        """Answer the measurement."""
        query = read_measure_query(request.query_params)
        return Response(asdict(measure(**asdict(query), now=timezone.now())))


class FeedbackView(ListAPIView[Feedback]):
    """The truth about earlier predictions."""

    required_scope = Scope.PREDICT
    permission_classes = (MayGiveFeedback,)
    serializer_class = shapes.FeedbackSerializer
    filterset_fields = ("source", "is_pending", "label")
    ordering_fields = ("received_at",)

    def get_queryset(self) -> QuerySet[Feedback]:
        """Return all feedback, newest first."""
        return list_feedback()

    @extend_schema(tags=["monitoring"], summary="List feedback")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer a page of feedback."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        tags=["monitoring"],
        summary="Say what was right",
        description='One item, or {"items": [...]}, up to 10,000. Safe to repeat; a changed label replaces the old.',
        request=PolymorphicProxySerializer(
            component_name="FeedbackRequestBody",
            serializers=[shapes.FeedbackItemSerializer, shapes.BulkFeedbackSerializer],
            resource_type_field_name=None,
        ),
        responses=shapes.FeedbackReceiptSerializer,
    )
    def post(self, request: Request) -> Response:
        """Keep feedback."""
        items = shapes.read_feedback(request.data, source=_caller(request))
        return Response(asdict(record_feedback(items=items)))


class PredictionView(APIView):
    """One answer and everything behind it."""

    required_scope = Scope.MONITOR

    @extend_schema(
        tags=["monitoring"],
        summary="Trace a prediction to its version, run, data and label",
        responses=shapes.PredictionTraceSerializer,
    )
    def get(self, request: Request, prediction_id: str) -> Response:
        """Answer the trace."""
        return Response(trace_to_dict(trace_prediction(prediction_id)))
