"""The public REST API of reports: a version's, two versions' side by side, as JSON and as one HTML file."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Scope
from monitoring.api.queries import read_compare_query, read_report_query
from monitoring.reports.compare import compare_versions, comparison_to_dict
from monitoring.reports.compare_page import comparison_html
from monitoring.reports.document import report_schema, report_to_dict
from monitoring.reports.html import file_name, report_html
from monitoring.reports.report import DEFAULT_PERIOD_S, build_period_report

PERIOD = [
    OpenApiParameter("period_s", int, default=DEFAULT_PERIOD_S, description="How far back, seconds"),
    OpenApiParameter("start", OpenApiTypes.DATETIME, description="From then, instead of period_s; UTC if not said"),
    OpenApiParameter("end", OpenApiTypes.DATETIME, description="To then; now if left out"),
]
VERSION = [OpenApiParameter("endpoint", str, required=True), OpenApiParameter("version", int, required=True)]
OTHER = [
    OpenApiParameter("other_version", int, required=True, description="Compared with the first"),
    OpenApiParameter("other_endpoint", str, description="If it is of another endpoint"),
]
HTML = {(200, "text/html"): OpenApiResponse(OpenApiTypes.STR, description="One file that needs no other")}


class ReportView(APIView):
    """The performance report of one version."""

    required_scope = Scope.MONITOR

    @extend_schema(
        tags=["monitoring"],
        summary="Report how a version did",
        description="Verdict, traffic, latency, drift of each feature, performance with intervals, data quality, "
        "alerts, lineage and a time series. /api/monitoring/reports/schema/ has its JSON Schema.",
        parameters=[*VERSION, *PERIOD],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """Answer the report."""
        query = read_report_query(request.query_params)
        report = build_period_report(endpoint=query.endpoint, version=query.version, period=query.period())
        return Response(report_to_dict(report))


class ReportFileView(APIView):
    """The same as a file."""

    required_scope = Scope.MONITOR

    @extend_schema(
        tags=["monitoring"],
        summary="Download a report as one HTML file",
        parameters=[*VERSION, *PERIOD],
        responses=HTML,
    )
    def get(self, request: Request) -> HttpResponse:
        """Answer the file."""
        query = read_report_query(request.query_params)
        report = build_period_report(endpoint=query.endpoint, version=query.version, period=query.period())
        return html_download(report_html(report), file_name(report, "html"))


class ReportSchemaView(APIView):
    """What a report looks like."""

    required_scope = Scope.MONITOR

    @extend_schema(tags=["monitoring"], summary="The JSON Schema of reports", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Answer the schema."""
        return Response(report_schema())


class CompareView(APIView):
    """Two versions side by side."""

    required_scope = Scope.MONITOR

    @extend_schema(
        tags=["monitoring"],
        summary="Compare two versions",
        description="For each measure whether the other version is better, worse, no_difference_to_tell or "
        "not_enough_data, with the interval of the difference; and both reports.",
        parameters=[*VERSION, *OTHER, *PERIOD],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """Answer the comparison."""
        query = read_compare_query(request.query_params)
        return Response(comparison_to_dict(compare_versions(*query.sides(), query.period())))


class CompareFileView(APIView):
    """The same as a file."""

    required_scope = Scope.MONITOR

    @extend_schema(
        tags=["monitoring"],
        summary="Download a comparison as one HTML file",
        parameters=[*VERSION, *OTHER, *PERIOD],
        responses=HTML,
    )
    def get(self, request: Request) -> HttpResponse:
        """Answer the file."""
        query = read_compare_query(request.query_params)
        comparison = compare_versions(*query.sides(), query.period())
        name = f"compare-{query.endpoint}-v{query.version}-v{query.other_version}.html"
        return html_download(comparison_html(comparison), name)


def html_download(html: str, name: str) -> HttpResponse:
    """Return a file to be kept; nothing that it holds may run here."""
    headers: dict[str, Any] = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(html, content_type="text/html; charset=utf-8", headers=headers)
