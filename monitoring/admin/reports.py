"""Pages of statistics: performance reports, single predictions with their origin, feedback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin

from aiplatform.console.pages import failed, page_context
from aiplatform.errors import NotFoundError, PlatformError
from monitoring.lineage import feedback_of, trace_prediction
from monitoring.models import Feedback, Prediction, Report
from monitoring.reports.overview import list_overview
from monitoring.reports.page import report_context
from monitoring.reports.report import DEFAULT_PERIOD_S, build_report


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """A table that only the platform writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds rows by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody edits what was measured."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The retention removes rows."""
        return False


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
        title = f"{endpoint} version {version}"
        context = page_context(request, title=title, period_s=int(period_s), **report_context(report))
        return TemplateResponse(request, "monitoring/reports/report.html", context)

    def find_page(self, request: HttpRequest) -> HttpResponse:
        """Go to the prediction whose id was typed."""
        self._require_view(request)
        prediction_id = request.GET.get("id", "").strip()
        found = (
            Prediction.objects.filter(prediction_id=prediction_id).order_by("row").first() if prediction_id else None
        )
        if found is None:
            return failed(
                request, f"No prediction '{prediction_id}' is kept here.", to=reverse("admin:monitoring-reports")
            )
        return HttpResponseRedirect(reverse("admin:monitoring_prediction_change", args=[found.pk]))

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise Http404


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    """Single predictions, found by id."""

    list_display = (
        "prediction_id",
        "row",
        "time",
        "endpoint",
        "version",
        "label",
        "shown_confidence",
        "value",
        "truth",
    )
    search_fields = ("prediction_id__exact",)
    search_help_text = "A prediction id, from the header X-Prediction-Id"
    list_select_related = ("window__served", "feedback")
    list_filter = ("window__served__endpoint", "window__served__version", "label")
    show_full_result_count = False
    list_per_page = 50

    @admin.display(ordering="window__served__endpoint")
    def endpoint(self, prediction: Prediction) -> str:
        """Return who answered."""
        return prediction.window.served.endpoint

    @admin.display(ordering="window__served__version")
    def version(self, prediction: Prediction) -> int:
        """Return which version answered."""
        return prediction.window.served.version

    @admin.display(description="Confidence", ordering="confidence")
    def shown_confidence(self, prediction: Prediction) -> str:
        """Return the confidence with as many digits as mean something."""
        return "-" if prediction.confidence is None else f"{prediction.confidence:.3f}"

    @admin.display
    def truth(self, prediction: Prediction) -> str:
        """Return what feedback said."""
        feedback = feedback_of(prediction)
        if feedback is None:
            return "-"
        return feedback.label if feedback.label is not None else str(feedback.value)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a prediction with all that is behind it."""
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        trace = trace_prediction(row.prediction_id)
        context = page_context(request, title=f"Prediction {row.prediction_id}", trace=trace)
        return TemplateResponse(request, "monitoring/reports/prediction.html", context)


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    """What people and programs said was right."""

    list_display = ("prediction_key", "row", "label", "value", "predicted", "source", "shown_state", "received_at")
    search_fields = ("prediction_key__exact",)
    list_filter = ("is_pending", "source")
    list_select_related = ("prediction",)
    show_full_result_count = False

    @admin.display(description="State", ordering="is_pending")
    def shown_state(self, feedback: Feedback) -> str:
        """Return whether its prediction is known."""
        return "waits for its prediction" if feedback.is_pending else "counted"

    @admin.display
    def predicted(self, feedback: Feedback) -> str:
        """Return what the model had said."""
        if feedback.prediction is None:
            return "-"
        return feedback.prediction.label if feedback.prediction.label is not None else str(feedback.prediction.value)
