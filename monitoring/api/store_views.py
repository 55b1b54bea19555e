"""The public REST API of the prediction store. Changing needs `admin`, and so does an export."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Identity, Scope
from monitoring.api import store_serializers as shapes
from monitoring.api.permissions import MayExport
from monitoring.models import PredictionDeletion, PredictionPolicy
from monitoring.store.deletion import delete_predictions
from monitoring.store.exporting import FORMATS, export_rows


@extend_schema_view(
    list=extend_schema(summary="List what the prediction store keeps, by endpoint"),
    retrieve=extend_schema(summary="Show an endpoint's policy"),
    create=extend_schema(summary="Give an endpoint a policy of its own"),
    update=extend_schema(summary="Replace an endpoint's policy"),
    partial_update=extend_schema(summary="Change an endpoint's policy"),
    destroy=extend_schema(summary="Take an endpoint's policy away: the settings hold again"),
)
@extend_schema(tags=["predictions"])
class PolicyViewSet(viewsets.ModelViewSet[PredictionPolicy]):
    """Policies of the prediction store."""

    queryset = PredictionPolicy.objects.all()
    required_scope = Scope.ADMIN
    serializer_class = shapes.PolicySerializer
    lookup_field = "endpoint"
    lookup_value_regex = "[^/]+"
    ordering_fields = ("endpoint", "updated_at")


@extend_schema_view(
    list=extend_schema(summary="List orders to delete predictions"),
    retrieve=extend_schema(summary="Show an order to delete predictions"),
)
@extend_schema(tags=["predictions"])
class DeletionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PredictionDeletion]
):  # fmt: skip
    """Orders to forget predictions: they stay as the record of what was deleted, by whom and why."""

    queryset = PredictionDeletion.objects.all()
    required_scope = Scope.ADMIN
    serializer_class = shapes.DeletionSerializer
    filterset_fields = ("state", "requested_by")
    ordering_fields = ("requested_at",)

    @extend_schema(
        summary="Delete predictions by id or by subject",
        description="In force at once. What is in files is removed now, or by the clock if the store is away.",
        request=shapes.NewDeletionSerializer,
        responses={201: shapes.DeletionSerializer},
    )
    def create(self, request: Request) -> Response:
        """Delete predictions."""
        form = shapes.NewDeletionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        by = request.auth.username if isinstance(request.auth, Identity) else ""
        order = delete_predictions(by=by, **form.validated_data)
        return Response(shapes.DeletionSerializer(order).data, status=status.HTTP_201_CREATED)


class ExportView(APIView):
    """Stored predictions as a file."""

    required_scope = Scope.ADMIN
    permission_classes = (MayExport,)

    @extend_schema(
        tags=["predictions"],
        summary="Download stored predictions as CSV or Parquet",
        parameters=[
            OpenApiParameter("endpoint", str, required=True),
            OpenApiParameter("since", OpenApiTypes.DATETIME, required=True),
            OpenApiParameter("until", OpenApiTypes.DATETIME, description="Without it: now"),
            OpenApiParameter("format", str, enum=sorted(FORMATS), default="csv"),
            OpenApiParameter("version", int, description="Without it: all versions"),
        ],
        responses={(200, media): OpenApiTypes.BINARY for media in FORMATS.values()},
    )
    def get(self, request: Request) -> Any:
        """Answer the file, as it is read."""
        order = shapes.read_export_query(request.query_params)
        answer = StreamingHttpResponse(export_rows(order), content_type=FORMATS[order.form])
        answer["Content-Disposition"] = f'attachment; filename="{order.endpoint}.{order.form}"'
        return answer

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Take any `Accept`, and leave `format` to the query: the answer is a file."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type
