"""The public REST API of recipes and runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import django_filters  # type: ignore[import-untyped]
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.errors import InvalidInputError, NotFoundError
from aiplatform.http.rendering import QuickJSONRenderer
from aiplatform.identity import Scope
from training import run_files, selectors, services
from training.annotating import RunChanges, annotate_run, clone_run
from training.api.caller import caller
from training.api.serializers import (
    AnnotationSerializer,
    ComparisonSerializer,
    EpochSerializer,
    RecipeSerializer,
    ResourceChangesSerializer,
    RunChangesSerializer,
    RunLogSerializer,
    RunOrderSerializer,
    RunSerializer,
    RunUsageSerializer,
)
from training.cli.comparing import comparison_record
from training.comparison import compare_runs
from training.models import Run
from training.recipe_defaults import get_recipe, list_recipes
from training.resources.asking import ResourceOrder, resources_of, split_resources
from training.states import RunState

_MOST_LOG_LINES = 5000


class RunFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Which runs to list."""

    state = django_filters.MultipleChoiceFilter(choices=RunState.choices)
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    tag = django_filters.CharFilter(field_name="tags__name", help_text="Runs that have this tag.")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Run
        fields = ("state", "model_name", "recipe", "requested_by", "data_uri")


class RecipeList(generics.GenericAPIView[Any]):
    """The recipes there are, with their parameters."""

    required_scope = Scope.TRAIN
    serializer_class = RecipeSerializer
    pagination_class = None
    filter_backends = ()

    @extend_schema(
        summary="List the recipes", responses=RecipeSerializer(many=True), operation_id="training_recipes_list"
    )
    def get(self, request: Request) -> Response:
        """Answer all recipes."""
        return Response(self.get_serializer(list_recipes(), many=True).data)


class RecipeDetail(APIView):
    """One recipe."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Show a recipe", responses=RecipeSerializer, operation_id="training_recipes_retrieve")
    def get(self, request: Request, name: str) -> Response:
        """Answer a recipe with its parameters."""
        return Response(RecipeSerializer(get_recipe(name)).data)


class RunList(generics.ListAPIView[Run]):
    """Runs, newest first; POST queues one."""

    required_scope = Scope.TRAIN
    serializer_class = RunSerializer
    filterset_class = RunFilter
    ordering_fields = ("created_at", "started_at", "ended_at")

    def get_queryset(self) -> QuerySet[Run]:
        """Return the runs."""
        return selectors.list_runs()

    @extend_schema(summary="Queue a run", request=RunOrderSerializer, responses={201: RunSerializer})
    def post(self, request: Request) -> Response:
        """Check the order and queue the run."""
        fields = RunOrderSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        given, resources = split_resources(fields.validated_data)
        order = services.RunOrder(**given, resources=ResourceOrder(**resources), actor=caller(request).username)
        return Response(RunSerializer(services.create_run(order)).data, status=status.HTTP_201_CREATED)


class RunDetail(APIView):
    """One run."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Show a run", responses=RunSerializer, operation_id="training_runs_retrieve")
    def get(self, request: Request, run_id: str) -> Response:
        """Answer a run by its id, or by the first characters of it."""
        return Response(RunSerializer(selectors.get_run(run_id)).data)

    @extend_schema(
        summary="Set a run's notes and tags",
        request=AnnotationSerializer,
        responses=RunSerializer,
        operation_id="training_runs_partial_update",
    )
    def patch(self, request: Request, run_id: str) -> Response:
        """Set what is given of notes and tags."""
        fields = AnnotationSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        run = annotate_run(selectors.get_run(run_id), **fields.validated_data, actor=caller(request).username)
        return Response(RunSerializer(run).data)


class RunClone(APIView):
    """Train again as a run did."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Clone a run with changes", request=RunChangesSerializer, responses={201: RunSerializer})
    def post(self, request: Request, run_id: str) -> Response:
        """Queue a run like another one, but for the changes."""
        fields = RunChangesSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        given, resources = split_resources(fields.validated_data)
        before = selectors.get_run(run_id)
        changes = RunChanges(**given, resources=replace(resources_of(before), **resources))
        run = clone_run(before, changes, actor=caller(request).username)
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)


class RunCompare(APIView):
    """Runs side by side."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="Compare runs",
        parameters=[OpenApiParameter("runs", str, required=True, description="2 to 8 ids, separated by commas")],
        responses=ComparisonSerializer,
        operation_id="training_runs_compare",
    )
    def get(self, request: Request) -> Response:
        """Answer what differs between runs, what they reached, and their curves."""
        references = [text.strip() for text in request.query_params.get("runs", "").split(",") if text.strip()]
        return Response(ComparisonSerializer(comparison_record(compare_runs(references))).data)


class RunCancel(APIView):
    """Cancel a run."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Cancel a run", request=None, responses=RunSerializer)
    def post(self, request: Request, run_id: str) -> Response:
        """Cancel a waiting run at once, an active one at its next step."""
        run = services.cancel_run(selectors.get_run(run_id), actor=caller(request).username)
        return Response(RunSerializer(run).data)


class RunResume(APIView):
    """Resume a failed or cancelled run."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Resume a run", request=ResourceChangesSerializer, responses=RunSerializer)
    def post(self, request: Request, run_id: str) -> Response:
        """Queue the run again, with other resources if some are given; it goes on from its last checkpoint."""
        fields = ResourceChangesSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        run = selectors.get_run(run_id)
        resources = replace(resources_of(run), **fields.validated_data)
        run = services.resume_run(run, resources=resources, actor=caller(request).username)
        return Response(RunSerializer(run).data)


class RunMetrics(APIView):
    """What a run measured."""

    required_scope = Scope.TRAIN
    renderer_classes = (QuickJSONRenderer,)

    @extend_schema(
        summary="Show a run's metrics by epoch",
        parameters=[
            OpenApiParameter("points", int, description="About so many epochs, evenly spread, 2 to 10000; without: all")
        ],
        responses=EpochSerializer(many=True),
        operation_id="training_runs_metrics_list",
    )
    def get(self, request: Request, run_id: str) -> Response:
        """Answer the metrics of every epoch, or of some, evenly spread."""
        run = selectors.get_run(run_id)
        return Response(selectors.list_epoch_rows(run, points=_read_points(request.query_params.get("points"))))


class RunUsageDetail(APIView):
    """What a run's process took of its machine."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Show a run's use of CPU, memory and GPU", responses=RunUsageSerializer)
    def get(self, request: Request, run_id: str) -> Response:
        """Answer the measurements."""
        run = selectors.get_run(run_id)
        usage = selectors.find_usage(run)
        if usage is None:
            raise NotFoundError(f"nothing was measured of run '{run.short_id}' yet")
        return Response(RunUsageSerializer(usage).data)


class RunLog(APIView):
    """The log of a run."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="Show the end of a run's log",
        parameters=[OpenApiParameter("lines", int, description=f"1 to {_MOST_LOG_LINES}, default 200")],
        responses=RunLogSerializer,
    )
    def get(self, request: Request, run_id: str) -> Response:
        """Answer the last lines of the log."""
        run = selectors.get_run(run_id)
        lines = _read_lines(request.query_params.get("lines", "200"))
        return Response({"log": run_files.read_log_tail(run.pk, lines=lines), "host": run.host})


def _read_points(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or len(text) > 9:
        raise InvalidInputError(f"points must be a whole number from 2 to 10000, not '{text}'")
    return int(text)


def _read_lines(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_LOG_LINES:
        raise InvalidInputError(f"lines must be from 1 to {_MOST_LOG_LINES}, not '{text}'")
    return int(text)
