"""Pages of statistics: performance reports and feedback."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from aiplatform.console.pages import failed, page_context
from aiplatform.errors import NotFoundError, PlatformError
from monitoring.admin.read_only import ReadOnlyAdmin
from monitoring.models import Feedback, Report
from monitoring.predictions import find_rows
from monitoring.reports.overview import list_overview
from monitoring.reports.page import report_context
from monitoring.reports.document import PerformanceReport
from monitoring.reports.report import DEFAULT_PERIOD_S, build_report


def show_report(request: HttpRequest, report: PerformanceReport, *, period_s: int) -> HttpResponse:
    """Return a report's page; `period_s` 0 is a period that is over and does not move."""
    links = {"alert": reverse("admin:monitoring_alert_changelist"), "run": "/admin/training/run/"}
    context = page_context(
        request, title=report.title, period_s=period_s, downloads={}, compare_url="#",
        **report_context(report, links=links),
    )  # fmt: skip
    return TemplateResponse(request, "monitoring/reports/report.html", context)


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """How each version is doing."""

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of reports before the table's own."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.list_page), name="monitoring-reports"),
            path("find/", view(self.find_page), name="monitoring-find-prediction"),
            path("<str:endpoint>/<int:version>/", view(self.report_page), name="monitoring-report"),
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
            period_s = float(request.GET.get("period_s") or DEFAULT_PERIOD_S)
            report = build_report(endpoint=endpoint, version=version, period_s=period_s, now=datetime.now(UTC))
        except NotFoundError as error:
            context = page_context(request, title=f"{endpoint} version {version}", reason=error.message)
            return TemplateResponse(request, "monitoring/reports/empty.html", context, status=404)
        except (PlatformError, ValueError) as error:
            return failed(request, str(error), to=reverse("admin:monitoring-report", args=[endpoint, version]))
        return show_report(request, report, period_s=int(period_s))

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


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    """What people and programs said was right."""

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
