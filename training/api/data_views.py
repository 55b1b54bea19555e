"""The public REST API of data sets, and of what runs found in their data."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.errors import InvalidInputError
from aiplatform.identity import Scope
from training import dataset_registry, selectors
from training.api.data_serializers import (
    DatasetDifferenceSerializer,
    DatasetSerializer,
    DatasetVersionDetailSerializer,
    DatasetVersionSerializer,
    SourceReportSerializer,
)
from training.data.registered import LATEST
from training.dataset_models import Dataset, DatasetVersion


class RunData(APIView):
    """What a run found in its data."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="Show a run's data: rows by part, split, bad rows",
        responses=SourceReportSerializer(many=True),
        operation_id="training_runs_data_list",
    )
    def get(self, request: Request, run_id: str) -> Response:
        """Answer one entry a source; none before the run has looked."""
        return Response(SourceReportSerializer(selectors.find_data_sources(selectors.get_run(run_id)), many=True).data)


@extend_schema(summary="List the data sets")
class DatasetList(generics.ListAPIView[Dataset]):
    """Registered data sets, by name."""

    required_scope = Scope.TRAIN
    serializer_class = DatasetSerializer
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[Dataset]:
        """Return the data sets."""
        return dataset_registry.list_datasets()


@extend_schema(summary="List the versions of a data set")
class DatasetVersionList(generics.ListAPIView[DatasetVersion]):
    """The versions of a data set, newest first."""

    required_scope = Scope.TRAIN
    serializer_class = DatasetVersionSerializer
    ordering_fields = ("version", "created_at")

    def get_queryset(self) -> QuerySet[DatasetVersion]:
        """Return the versions; NotFoundError for an unknown name."""
        if getattr(self, "swagger_fake_view", False):
            return DatasetVersion.objects.none()
        dataset_registry.get_dataset(self.kwargs["name"])
        return dataset_registry.list_versions(self.kwargs["name"])


class DatasetVersionDetail(APIView):
    """One version of a data set."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Show a version of a data set", responses=DatasetVersionDetailSerializer)
    def get(self, request: Request, name: str, reference: str) -> Response:
        """Answer a version by its number, or 'latest', with its schema and profile."""
        return Response(DatasetVersionDetailSerializer(dataset_registry.get_version(name, reference)).data)


class DatasetDiff(APIView):
    """Two versions of a data set beside each other."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="Compare two versions of a data set",
        description="Columns and classes that came or went, and monitoring's drift tests of the profiles.",
        parameters=[
            OpenApiParameter("before", int, required=True, description="A version's number."),
            OpenApiParameter("after", str, description="A version's number; the newest by default."),
        ],
        responses=DatasetDifferenceSerializer,
    )
    def get(self, request: Request, name: str) -> Response:
        """Answer what differs."""
        before = dataset_registry.get_version(name, _required(request.query_params.get("before")))
        after = dataset_registry.get_version(name, request.query_params.get("after") or LATEST)
        return Response(DatasetDifferenceSerializer(dataset_registry.compare_versions(before, after)).data)


def _required(value: Any) -> str:
    if not value:
        raise InvalidInputError("before must name a version, for example ?before=1")
    return str(value)
