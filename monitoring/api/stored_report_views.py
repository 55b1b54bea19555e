"""The public REST API of stored reports and their schedules. Reading needs `monitor`, schedules `admin`."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from aiplatform.identity import Scope
from monitoring.api.report_serializers import ReportScheduleSerializer, SendReportSerializer, StoredReportSerializer
from monitoring.api.report_views import HTML, html_download
from monitoring.models.reports import ReportSchedule, StoredReport
from monitoring.reports.document import report_to_dict
from monitoring.reports.html import file_name, report_html
from monitoring.reports.schedules import read_stored
from monitoring.reports.selectors import get_schedule, list_schedules, list_stored
from monitoring.reports.sending import send_schedule


@extend_schema_view(
    list=extend_schema(summary="List stored reports"), retrieve=extend_schema(summary="Show what a stored report is")
)
@extend_schema(tags=["monitoring"])
class StoredReportViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[StoredReport]
):  # fmt: skip
    """Reports that were kept."""

    queryset = StoredReport.objects.none()
    required_scope = Scope.MONITOR
    serializer_class = StoredReportSerializer
    filterset_fields = ("endpoint", "version", "state", "health", "schedule_name")
    ordering_fields = ("period_end", "made_at", "endpoint", "version")

    def get_queryset(self) -> Any:
        """Return all of them, the latest period first."""
        return list_stored()

    @extend_schema(summary="Read a stored report", responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def json(self, request: Request, pk: str | None = None) -> Response:
        """Answer its content."""
        return Response(report_to_dict(read_stored(self.get_object())))

    @extend_schema(summary="Download a stored report as one HTML file", responses=HTML)
    @action(detail=True)
    def html(self, request: Request, pk: str | None = None) -> HttpResponse:
        """Answer the file."""
        report = read_stored(self.get_object())
        return html_download(report_html(report), file_name(report, "html"))


@extend_schema_view(
    list=extend_schema(summary="List report schedules"),
    retrieve=extend_schema(summary="Show a report schedule"),
    create=extend_schema(summary="Make a report schedule"),
    update=extend_schema(summary="Replace a report schedule"),
    partial_update=extend_schema(summary="Change a report schedule"),
    destroy=extend_schema(summary="Delete a report schedule; its reports stay"),
)
@extend_schema(tags=["monitoring"])
class ReportScheduleViewSet(viewsets.ModelViewSet[ReportSchedule]):
    """What is reported on by itself."""

    queryset = ReportSchedule.objects.none()
    required_scope = Scope.ADMIN
    serializer_class = ReportScheduleSerializer
    filterset_fields = ("endpoint", "is_enabled")
    ordering_fields = ("name",)
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> Any:
        """Return all of them."""
        return list_schedules()

    @extend_schema(summary="Send the last period's reports now", request=None, responses=SendReportSerializer)
    @action(detail=True, methods=["post"])
    def send(self, request: Request, name: str = "") -> Response:
        """Make what is missing and send it to the schedule's channels."""
        reports = send_schedule(get_schedule(name), now=timezone.now())
        return Response({"reports": StoredReportSerializer(reports, many=True).data})
