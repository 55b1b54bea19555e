"""Runs in the console: the list, a page with live progress and curves, and buttons that ask first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from aiplatform.console.charts import line_chart
from aiplatform.console.pages import Question, confirm, done, failed, page_context
from aiplatform.errors import PlatformError
from training import run_files, selectors, services
from training.admin.base import ReadOnlyAdmin
from training.badges import share_done, state_badge
from training.cli.texts import ready_version, seconds_text
from training.cli.views import phase_text
from training.models import Run
from training.states import RESUMABLE_STATES

_LOG_LINES = 60


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Training runs."""

    list_display = (
        "short",
        "state_shown",
        "progress_shown",
        "recipe",
        "model_name",
        "version_shown",
        "data_uri",
        "took",
        "created_at",
    )
    list_filter = ("state", "recipe", "model_name")
    search_fields = ("id__startswith", "model_name", "recipe", "data_uri", "requested_by")
    list_display_links = ("short",)
    list_select_related = ("version",)

    @admin.display(description="Run", ordering="created_at")
    def short(self, run: Run) -> str:
        """Return the short id."""
        return run.short_id

    @admin.display(description="State", ordering="state")
    def state_shown(self, run: Run) -> SafeString:
        """Return the state as a badge."""
        return state_badge(run)

    @admin.display(description="Progress")
    def progress_shown(self, run: Run) -> SafeString:
        """Return a bar."""
        return format_html('<div class="console-bar" style="--share: {}%"></div>', share_done(run))

    @admin.display(description="Version")
    def version_shown(self, run: Run) -> str:
        """Return the version that the run became."""
        version = ready_version(run)
        return str(version.version) if version else "-"

    @admin.display(description="Took")
    def took(self, run: Run) -> str:
        """Return the run's duration."""
        return seconds_text(run.duration_s)

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons and the live part."""
        live = self.admin_site.admin_view(self.live_view)
        return [
            path("<uuid:run_id>/cancel/", self.guarded(self.cancel_view), name="training_run_cancel"),
            path("<uuid:run_id>/resume/", self.guarded(self.resume_view), name="training_run_resume"),
            path("<uuid:run_id>/live/", live, name="training_run_live"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a run."""
        self.require_view(request)
        run = selectors.find_run(UUID(object_id)) if _is_uuid(object_id) else None
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        context = page_context(
            request,
            title=f"Run {run.short_id}: {run.recipe} on {run.data_uri}",
            run=run,
            original=run,
            opts=self.opts,
            version=ready_version(run),
            may_cancel=not run.is_ended and self.has_change_permission(request),
            may_resume=run.state in RESUMABLE_STATES and self.has_change_permission(request),
            live=_live_html(run),
            facts=_facts(run),
            sources=selectors.find_data_sources(run),
        )
        return TemplateResponse(request, "training/run_page.html", context)

    def live_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Answer the part of the page that moves, as JSON."""
        self.require_view(request)
        run = selectors.get_run(run_id)
        return JsonResponse(
            {"state": run.state, "is_ended": run.is_ended, "share": share_done(run), "html": _live_html(run)}
        )

    def cancel_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Ask, then cancel."""
        run, page = selectors.get_run(run_id), _page(run_id)
        if request.method != "POST":
            what = ["It stops after its present step; its last checkpoint stays.", "It can be resumed later."]
            title = f"Cancel run {run.short_id}?"
            question = Question(
                title=title, submit="Cancel the run", cancel_url=page, what_will_change=what, is_dangerous=True
            )
            return confirm(request, question)
        try:
            services.cancel_run(run, actor=_actor(request))
        except PlatformError as error:
            return failed(request, error.message, to=page)
        return done(request, f"Run {run.short_id} is being cancelled.", to=page)

    def resume_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Ask, then resume."""
        run, page = selectors.get_run(run_id), _page(run_id)
        if request.method != "POST":
            what = ["It is queued again, with fresh attempts.", "It goes on from its last checkpoint."]
            question = Question(
                title=f"Resume run {run.short_id}?", submit="Resume the run", cancel_url=page, what_will_change=what
            )
            return confirm(request, question)
        try:
            services.resume_run(run, actor=_actor(request))
        except PlatformError as error:
            return failed(request, error.message, to=page)
        return done(request, f"Run {run.short_id} is queued again.", to=page)


def run_charts(run: Run) -> list[SafeString]:
    """Return one chart for each metric, with its validation beside it."""
    families: dict[str, dict[str, list[tuple[Any, float | None]]]] = {}
    for name, points in selectors.training_curves(run).items():
        families.setdefault(name.removeprefix("val_"), {})[name] = list(points)
    return [
        line_chart(title=name.replace("_", " ").capitalize(), series=series, x_label="epoch")
        for name, series in families.items()
    ]


def _live_html(run: Run) -> str:
    progress = run.progress
    return render_to_string(
        "training/run_live.html",
        {
            "run": run,
            "badge": state_badge(run),
            "phase": phase_text(run),
            "share": share_done(run),
            "progress": progress,
            "left": seconds_text(progress.get("left_s")) if run.is_active and "left_s" in progress else "",
            "took": seconds_text(run.duration_s),
            "charts": run_charts(run),
            "log": run_files.read_log_tail(run.pk, lines=_LOG_LINES),
        },
    )


def _facts(run: Run) -> list[tuple[str, Any]]:
    facts = [
        ("Recipe", run.recipe), ("Data", run.data_uri), ("Target", run.target), ("Seed", run.seed),
        ("Ordered by", run.requested_by), ("Attempt", run.attempt), ("Commit", run.code_commit),
        ("Data fingerprint", run.data_fingerprint), ("Machine", run.host.partition("/")[0]),
        ("Packages", ", ".join(f"{name} {version}" for name, version in run.packages.items())),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value not in ("", None)]


def _page(run_id: UUID) -> str:
    return reverse("admin:training_run_change", args=[run_id])


def _actor(request: HttpRequest) -> str:
    return request.user.get_username()


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
