"""Pages of statistics: performance reports, comparisons and feedback."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from aiplatform.console.pages import failed, page_context
from aiplatform.errors import NotFoundError, PlatformError
from monitoring.admin.read_only import ReadOnlyAdmin
from monitoring.api.queries import read_compare_query, read_report_query
from monitoring.api.report_views import html_download
from monitoring.models import Feedback, Report
from monitoring.predictions import find_rows
from monitoring.reports.compare import Comparison, compare_versions
from monitoring.reports.compare_page import comparison_context, comparison_html
from monitoring.reports.document import PerformanceReport, encode_report
from monitoring.reports.html import file_name, report_html
from monitoring.reports.overview import list_choices, list_overview
from monitoring.reports.page import PERIODS, report_context
from monitoring.reports.report import build_period_report

JSON_TYPE = "application/json"


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """How each version is doing."""

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of reports before the table's own."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.list_page), name="monitoring-reports"),
            path("find/", view(self.find_page), name="monitoring-find-prediction"),
            path("compare/", view(self.compare_page), name="monitoring-compare"),
            path("<str:endpoint>/<int:version>/", view(self.report_page), name="monitoring-report"),
            path("<str:endpoint>/<int:version>/file/", view(self.report_file), name="monitoring-report-file"),
            *super().get_urls(),
        ]

    def list_page(self, request: HttpRequest) -> HttpResponse:
        """Show all versions in use, a line each."""
        self._require_view(request)
        context = page_context(request, title="Performance reports", lines=list_overview())
        return TemplateResponse(request, "monitoring/reports/list.html", context)

    def report_page(self, request: HttpRequest, endpoint: str, version: int) -> HttpResponse:
        """Show one version's report."""
        self._require_view(request)
        try:
            query = _report_query(request.GET, endpoint, version)
            report = build_period_report(endpoint=endpoint, version=version, period=query.period())
        except NotFoundError as error:
            context = page_context(request, title=f"{endpoint} version {version}", reason=error.message)
            return TemplateResponse(request, "monitoring/reports/empty.html", context, status=404)
        except PlatformError as error:
            return failed(request, error.message, to=reverse("admin:monitoring-report", args=[endpoint, version]))
        return show_report(request, report, period_s=0 if query.start or query.end else query.period_s)

    def report_file(self, request: HttpRequest, endpoint: str, version: int) -> HttpResponse:
        """Download one version's report; `as` is html or json."""
        self._require_view(request)
        try:
            period = _report_query(request.GET, endpoint, version).period()
            report = build_period_report(endpoint=endpoint, version=version, period=period)
        except PlatformError as error:
            return failed(request, error.message, to=reverse("admin:monitoring-report", args=[endpoint, version]))
        return download_report(report, as_json=request.GET.get("as") == "json")

    def compare_page(self, request: HttpRequest) -> HttpResponse:
        """Show two versions side by side."""
        self._require_view(request)
        given, error, comparison = _compare_parameters(request.GET), "", None
        if "other_version" in given:
            try:
                query = read_compare_query(given)
                comparison = compare_versions(*query.sides(), query.period())
            except PlatformError as problem:
                error = problem.message
        if comparison is not None and request.GET.get("as") == "html":
            name = f"compare-{given['endpoint']}-v{given['version']}-v{given['other_version']}.html"
            return html_download(comparison_html(comparison), name)
        context = page_context(request, title="Compare versions", **_compare_context(given, comparison, error))
        return TemplateResponse(request, "monitoring/reports/compare.html", context)

    def find_page(self, request: HttpRequest) -> HttpResponse:
        """Go to the prediction whose id was typed."""
        self._require_view(request)
        prediction_id = request.GET.get("id", "").strip()
        if not find_rows([prediction_id]):
            return failed(
                request, f"No prediction '{prediction_id}' is kept here.", to=reverse("admin:monitoring-reports")
            )
        return HttpResponseRedirect(reverse("admin:monitoring_prediction_change", args=[prediction_id]))

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise Http404


def show_report(
    request: HttpRequest, report: PerformanceReport, *, period_s: int, downloads: dict[str, str] | None = None
) -> HttpResponse:
    """Return a report's page; `period_s` 0 is a period that is over and does not move."""
    address = reverse("admin:monitoring-report-file", args=[report.endpoint, report.version])
    span = {"period_s": period_s} if period_s else _span(report)
    links = {
        "alert": reverse("admin:monitoring_alert_changelist"),
        "rollout": reverse("admin:monitoring_rollout_changelist"),
        "run": "/admin/training/run/",
    }
    compare = {"first": f"{report.endpoint}:{report.version}", "period_s": period_s or 3600}
    context = page_context(
        request,
        title=report.title,
        period_s=period_s,
        downloads=downloads
        or {
            "HTML file": f"{address}?{urlencode({**span, 'as': 'html'})}",
            "JSON": f"{address}?{urlencode({**span, 'as': 'json'})}",
        },
        compare_url=f"{reverse('admin:monitoring-compare')}?{urlencode(compare)}",
        report_url=reverse("admin:monitoring-report", args=[report.endpoint, report.version]),
        **report_context(report, links=links),
    )
    return TemplateResponse(request, "monitoring/reports/report.html", context)


def download_report(report: PerformanceReport, *, as_json: bool) -> HttpResponse:
    """Return a report as a file."""
    if not as_json:
        return html_download(report_html(report), file_name(report, "html"))
    answer = HttpResponse(encode_report(report), content_type=JSON_TYPE)
    answer["Content-Disposition"] = f'attachment; filename="{file_name(report, "json")}"'
    return answer


def _report_query(given: QueryDict, endpoint: str, version: int) -> Any:
    named = {name: given.get(name, "") for name in ("period_s", "start", "end")}
    return read_report_query({"endpoint": endpoint, "version": str(version), **named})


def _span(report: PerformanceReport) -> dict[str, str]:
    return {"start": report.period.start.isoformat(), "end": report.period.end.isoformat()}


def _compare_parameters(given: QueryDict) -> dict[str, str]:
    """Return the query of a comparison; the form names each version as 'endpoint:version'."""
    found = {name: given.get(name, "") for name in given if given.get(name)}
    for choice, names in (("first", ("endpoint", "version")), ("second", ("other_endpoint", "other_version"))):
        if choice in found:
            endpoint, _, version = found.pop(choice).rpartition(":")
            found.update(zip(names, (endpoint, version), strict=True))
    return found


def _compare_context(given: dict[str, str], comparison: Comparison | None, error: str) -> dict[str, Any]:
    choices = list_choices()
    first = f"{given.get('endpoint', '')}:{given.get('version', '')}"
    second = f"{given.get('other_endpoint') or given.get('endpoint', '')}:{given.get('other_version', '')}"
    if "other_version" not in given:  # most people compare with the version that came before or after
        others = [value for value, _ in choices if value != first]
        second = next((value for value in others if value.rpartition(":")[0] == given.get("endpoint")), second)
    period_s = int(given["period_s"]) if given.get("period_s", "").isdigit() else 3600
    return {
        "choices": choices,
        "chosen": {"first": first, "second": second, "period_s": period_s},
        "error": error,
        "periods": PERIODS,
        "downloads": {"HTML file": f"?{urlencode({**given, 'as': 'html'})}"},
        "comparison": None,
        **(comparison_context(comparison) if comparison else {}),
    }


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    """What people and programs said was right."""

    empty_hint = "Send the truth with a prediction's id to /api/monitoring/feedback/; accuracy follows from it."

    list_display = ("prediction_key", "row", "label", "value", "predicted", "source", "shown_state", "received_at")
    search_fields = ("prediction_key__exact",)
    list_filter = ("is_pending", "source")
    show_full_result_count = False

    @admin.display(description="State", ordering="is_pending")
    def shown_state(self, feedback: Feedback) -> str:
        """Return whether its prediction is known."""
        return "waits for its prediction" if feedback.is_pending else "counted"

    @admin.display
    def predicted(self, feedback: Feedback) -> str:
        """Return what the model had said."""
        if feedback.is_pending:
            return "-"
        return feedback.predicted_label if feedback.predicted_label is not None else str(feedback.predicted_value)
