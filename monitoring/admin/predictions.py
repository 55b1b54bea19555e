"""Pages of single predictions: the latest, and one with all that is behind it."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from aiplatform.console.pages import page_context
from aiplatform.errors import NotFoundError
from monitoring.admin.read_only import ReadOnlyAdmin
from monitoring.admin.stored_view import show_row
from monitoring.lineage import trace_prediction
from monitoring.models import Prediction
from monitoring.predictions import Cursor, PredictionPage, attach_feedback, find_rows, list_latest

PER_PAGE = 50
STORED_SHOWN = 20  # rows of one request, with their images


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    """Single predictions, out of their blocks."""

    def get_urls(self) -> list[URLPattern]:
        """Put the pages of rows in the place of the table's own."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.list_page), name="monitoring_prediction_changelist"),
            path("<str:prediction_id>/change/", view(self.detail_page), name="monitoring_prediction_change"),
            *super().get_urls(),
        ]

    def list_page(self, request: HttpRequest) -> HttpResponse:
        """Show the latest predictions, or those with an id."""
        self._require_view(request)
        query = {name: request.GET.get(name, "").strip() for name in ("q", "endpoint", "version", "label")}
        page = _find(query, _read_start(request.GET.get("start", "")))
        attach_feedback(page.rows)
        following = urlencode({**query, "start": "{}.{}".format(*page.following)}) if page.following else ""
        context = page_context(request, title="Predictions", rows=page.rows, query=query, following=following)
        return TemplateResponse(request, "monitoring/reports/predictions.html", context)

    def detail_page(self, request: HttpRequest, prediction_id: str) -> HttpResponse:
        """Show a prediction with all that is behind it."""
        self._require_view(request)
        try:
            trace = trace_prediction(prediction_id)
        except NotFoundError as error:
            raise Http404(error.message) from error
        stored = [show_row(row) for row in trace.stored[:STORED_SHOWN]]
        context = page_context(request, title=f"Prediction {prediction_id}", trace=trace, stored=stored)
        return TemplateResponse(request, "monitoring/reports/prediction.html", context)

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise Http404


def _find(query: dict[str, str], start: Cursor | None) -> PredictionPage:
    if query["q"]:
        return PredictionPage(rows=list(find_rows([query["q"]]).values())[:PER_PAGE], following=None)
    version = int(query["version"]) if query["version"].isascii() and query["version"].isdigit() else None
    return list_latest(
        endpoint=query["endpoint"], version=version, label=query["label"], start=start, limit=PER_PAGE
    )  # fmt: skip


def _read_start(text: str) -> Cursor | None:
    block, _, shown = text.partition(".")
    if not (text.isascii() and block.isdigit() and shown.isdigit() and len(text) < 30):
        return None
    return int(block), int(shown)
