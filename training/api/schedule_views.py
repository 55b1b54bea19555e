"""The public REST API of training schedules."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Scope
from training import scheduling, selectors
from training.api.caller import caller
from training.api.serializers import RunSerializer
from training.cli.scheduling import schedule_record
from training.scheduling import ScheduleOrder


class TrainingScheduleSerializer(serializers.Serializer[Any]):
    """A schedule, and what it did last."""

    name = serializers.CharField()
    like = serializers.UUIDField(help_text="The run that is repeated.")
    recipe = serializers.CharField()
    model_name = serializers.CharField()
    data_uri = serializers.CharField()
    deploy_endpoint = serializers.CharField()
    cron = serializers.CharField()
    watch_minutes = serializers.IntegerField()
    is_enabled = serializers.BooleanField()
    next_at = serializers.DateTimeField(allow_null=True)
    last_run = serializers.UUIDField(allow_null=True)
    last_fired_at = serializers.DateTimeField(allow_null=True)
    last_outcome = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class TrainingScheduleOrderSerializer(serializers.Serializer[Any]):
    """When to train what again: `cron`, or `watch_minutes`."""

    name = serializers.CharField()
    like = serializers.CharField(help_text="A run's id, or its first characters.")
    cron = serializers.CharField(required=False, default="", allow_blank=True)
    watch_minutes = serializers.IntegerField(required=False, default=0)
    data_uri = serializers.CharField(required=False, default="", allow_blank=True)
    deploy_endpoint = serializers.CharField(required=False, default="", allow_blank=True)


class TrainingScheduleChangeSerializer(serializers.Serializer[Any]):
    """Whether a schedule is in force."""

    is_enabled = serializers.BooleanField()


class ScheduleList(APIView):
    """Schedules by name; POST keeps one."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="List the schedules", responses=TrainingScheduleSerializer(many=True),
        operation_id="training_schedules_list",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Answer all schedules."""
        records = [schedule_record(schedule) for schedule in scheduling.list_schedules()]
        return Response(TrainingScheduleSerializer(records, many=True).data)

    @extend_schema(
        summary="Keep a schedule", request=TrainingScheduleOrderSerializer, responses={201: TrainingScheduleSerializer}
    )
    def post(self, request: Request) -> Response:
        """Check the order and keep the schedule."""
        fields = TrainingScheduleOrderSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        values = {**fields.validated_data, "like": selectors.get_run(fields.validated_data["like"])}
        schedule = scheduling.create_schedule(ScheduleOrder(**values, actor=caller(request).username))
        return Response(TrainingScheduleSerializer(schedule_record(schedule)).data, status=status.HTTP_201_CREATED)


class ScheduleDetail(APIView):
    """One schedule."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="Show a schedule", responses=TrainingScheduleSerializer, operation_id="training_schedules_retrieve"
    )
    def get(self, request: Request, name: str) -> Response:
        """Answer a schedule."""
        return Response(TrainingScheduleSerializer(schedule_record(scheduling.get_schedule(name))).data)

    @extend_schema(
        summary="Pause a schedule, or go on", request=TrainingScheduleChangeSerializer,
        responses=TrainingScheduleSerializer,
    )  # fmt: skip
    def patch(self, request: Request, name: str) -> Response:
        """Set whether it is in force."""
        fields = TrainingScheduleChangeSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        schedule = scheduling.enable_schedule(
            scheduling.get_schedule(name), **fields.validated_data, actor=caller(request).username
        )
        return Response(TrainingScheduleSerializer(schedule_record(schedule)).data)

    @extend_schema(summary="Remove a schedule", responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Forget it; its runs stay."""
        scheduling.remove_schedule(scheduling.get_schedule(name), actor=caller(request).username)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ScheduleRun(APIView):
    """Train by a schedule now."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Train by a schedule now", request=None, responses={201: RunSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Queue a run, whether or not it is time."""
        run = scheduling.run_now(scheduling.get_schedule(name), actor=caller(request).username)
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)
