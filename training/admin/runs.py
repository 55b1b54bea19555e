"""Runs in the console: the list, a page with live progress and curves, and buttons that ask first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from unfold.admin import ModelAdmin

from aiplatform.console.pages import Question, confirm, done, failed, page_context
from aiplatform.errors import PlatformError
from training import run_files, selectors, services
from training.admin.order_forms import RunForm
from training.admin.ordering import OrderingAdmin
from training.admin.run_comparison import comparison_context
from training.admin.run_drawing import draw_charts, draw_head
from training.admin.run_forms import AnnotationForm, CloneForm, TagFilter
from training.annotating import annotate_run, clone_run
from training.badges import share_done, state_badge
from training.cli.texts import ready_version, seconds_text
from training.comparison import MOST, compare_runs
from training.event_stream import stream_run
from training.file_stream import stream_file
from training.live import RunFeed
from training.models import Run
from training.resources.reporting import ask_text, lease_text, waiting_reasons
from training.states import RESUMABLE_STATES, RunState

_LOG_LINES = 200
_MOST_MATCHES = 1000
_LONGEST_DATA = 28
_NOBODY = UUID(int=0)


@admin.register(Run)
class RunAdmin(OrderingAdmin):
    """Training runs."""

    empty_hint = "Train a first model on the handwritten digits that come along, here or with:"
    empty_command = "python manage.py train run keras_cnn --data digits --name digits --deploy"

    order_form, order_title, order_submit = RunForm, "New training", "Queue the training"

    list_display = (
        "short",
        "state_shown",
        "progress_shown",
        "recipe",
        "model_name",
        "version_shown",
        "data_shown",
        "took",
        "created_at",
        "tags_shown",
    )
    list_filter = ("state", TagFilter, "recipe", "model_name")
    search_fields = ("id__startswith", "model_name", "recipe", "data_uri", "requested_by", "notes")
    actions = ("compare_chosen",)
    list_display_links = ("short",)
    list_select_related = ("version",)
    _box = ""

    @admin.display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, obj: Run) -> SafeString:
        """Return the row's box. Unfold has a template draw each one; here one is drawn, and each row gets its id."""
        if not self._box:
            self._box = ModelAdmin.action_checkbox(self, Run(pk=_NOBODY))
        return mark_safe(self._box.replace(str(_NOBODY), str(obj.pk)))  # noqa: S308 - an id has digits and dashes

    @admin.display(description="Run", ordering="created_at")
    def short(self, run: Run) -> str:
        """Return the short id."""
        return run.short_id

    @admin.display(description="State", ordering="state")
    def state_shown(self, run: Run) -> SafeString:
        """Return the state as a badge."""
        return state_badge(run)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; the runs in the queue say why they wait, by one look at the queue."""
        response: HttpResponse = super().changelist_view(request, extra_context)
        shown = (getattr(response, "context_data", None) or {}).get("cl")
        runs = list(shown.result_list) if shown else []
        tags = selectors.tags_of(runs)
        reasons = waiting_reasons() if any(run.state == RunState.QUEUED for run in runs) else {}
        for run in runs:
            run.waits, run.tags_text = reasons.get(run.pk, ""), ", ".join(tags.get(run.pk, ()))
        return response

    @admin.display(description="Progress")
    def progress_shown(self, run: Run) -> SafeString:
        """Return a bar, or why the run waits."""
        if waits := getattr(run, "waits", ""):
            return format_html("<small>{}</small>", waits)
        return format_html('<div class="console-bar" style="--share: {}%"></div>', share_done(run))

    @admin.display(description="Version")
    def version_shown(self, run: Run) -> str:
        """Return the version that the run became."""
        version = ready_version(run)
        return str(version.version) if version else "-"

    @admin.display(description="Data", ordering="data_uri")
    def data_shown(self, run: Run) -> SafeString:
        """Return the source, a long one by its end; the whole stands on the run's page and behind the mouse."""
        short = run.data_uri if len(run.data_uri) <= _LONGEST_DATA else f"…{run.data_uri[-_LONGEST_DATA:]}"
        return format_html('<span title="{}">{}</span>', run.data_uri, short)

    @admin.display(description="Tags")
    def tags_shown(self, run: Run) -> str:
        """Return the tags."""
        return getattr(run, "tags_text", "") or "-"

    @admin.action(description="Compare the chosen runs", permissions=["view"])
    def compare_chosen(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse:
        """Show the chosen runs side by side."""
        ids = ",".join(run.short_id for run in chosen.order_by("created_at")[: MOST + 1])
        return HttpResponseRedirect(f"{reverse('admin:training_run_compare')}?runs={ids}")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Return runs with what the list shows of them."""
        return selectors.list_runs(has_tags=False)

    @admin.display(description="Took")
    def took(self, run: Run) -> str:
        """Return the run's duration."""
        return seconds_text(run.duration_s).replace(" ", "\N{NO-BREAK SPACE}")

    def place_order(self, form: Any, *, actor: str) -> tuple[Run, str]:
        """Queue a run."""
        run = services.create_run(form.order(actor=actor))
        return run, f"Run {run.short_id} is queued."

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons and the live part."""
        view = self.admin_site.admin_view
        return [
            path("compare/", view(self.compare_view), name="training_run_compare"),
            path("<uuid:run_id>/clone/", self.guarded(self.clone_view), name="training_run_clone"),
            path("<uuid:run_id>/notes/", self.guarded(self.annotate_view), name="training_run_annotate"),
            path("<uuid:run_id>/cancel/", self.guarded(self.cancel_view), name="training_run_cancel"),
            path("<uuid:run_id>/resume/", self.guarded(self.resume_view), name="training_run_resume"),
            path("<uuid:run_id>/live/", view(self.live_view), name="training_run_live"),
            path("<uuid:run_id>/events/", view(self.events_view), name="training_run_events"),
            path("<uuid:run_id>/log/", view(self.log_view), name="training_run_log"),
            path("<uuid:run_id>/log/download/", view(self.download_view), name="training_run_log_download"),
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
        offset = run_files.log_size(run.pk)
        context = page_context(
            request,
            title=f"Run {run.short_id}: {run.recipe} on {run.data_uri}",
            run=run,
            original=run,
            opts=self.opts,
            version=ready_version(run),
            may_cancel=not run.is_ended and self.has_change_permission(request),
            may_change=self.has_change_permission(request),
            may_schedule=run.state == RunState.SUCCEEDED and request.user.has_perm("training.add_trainingschedule"),
            may_resume=run.state in RESUMABLE_STATES and self.has_change_permission(request),
            head=draw_head(run),
            charts=draw_charts(run),
            log=run_files.read_log_tail(run.pk, lines=_LOG_LINES),
            offset=offset,
            facts=_facts(run),
            tags=run.tag_names,
            sources=selectors.find_data_sources(run),
        )
        return TemplateResponse(request, "training/run_page.html", context)

    def live_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Answer the parts of the page that move, as JSON: for a page that gets no events."""
        self.require_view(request)
        run = selectors.get_run(run_id)
        return JsonResponse(
            {
                "state": run.state,
                "is_ended": run.is_ended,
                "share": share_done(run),
                "head": draw_head(run),
                "charts": draw_charts(run),
                "log": run_files.read_log_tail(run.pk, lines=_LOG_LINES),
            }
        )

    def events_view(self, request: HttpRequest, run_id: UUID) -> HttpResponseBase:
        """Answer what happens to the run, as server-sent events."""
        self.require_view(request)
        offset = request.headers.get("Last-Event-ID") or request.GET.get("offset", "")
        feed = RunFeed(
            selectors.get_run(run_id).pk,
            offset=int(offset[:18]) if offset.isdecimal() else 0,
            draw_head=draw_head,
            draw_charts=draw_charts,
        )
        return stream_run(request, feed)

    def log_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Show the lines of the log that have some words in them."""
        self.require_view(request)
        run, query = selectors.get_run(run_id), request.GET.get("q", "")[:200]
        matches = run_files.search_log(run.pk, query, limit=_MOST_MATCHES)
        context = page_context(
            request, title=f"Log of run {run.short_id}", run=run, opts=self.opts, query=query, matches=matches
        )
        return TemplateResponse(request, "training/log_page.html", context)

    def download_view(self, request: HttpRequest, run_id: UUID) -> HttpResponseBase:
        """Answer the whole log as a file."""
        self.require_view(request)
        run = selectors.get_run(run_id)
        if not run_files.log_size(run.pk):
            return failed(request, f"Run {run.short_id} has no log on this machine.", to=_page(run_id))
        return stream_file(request, run_files.read_log_chunks(run.pk), name=f"run-{run.short_id}.log")

    def compare_view(self, request: HttpRequest) -> HttpResponse:
        """Show runs side by side."""
        self.require_view(request)
        references = [text for text in request.GET.get("runs", "").split(",") if text]
        try:
            comparison = compare_runs(references)
        except PlatformError as error:
            return failed(request, error.message, to=reverse("admin:training_run_changelist"))
        context = page_context(
            request, title=f"{len(comparison.runs)} runs side by side", opts=self.opts, **comparison_context(comparison)
        )
        return TemplateResponse(request, "training/compare_page.html", context)

    def clone_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Ask what shall be otherwise, then queue the clone."""
        run = selectors.get_run(run_id)
        form = CloneForm(request.POST or None, initial=CloneForm.initial_of(run))
        question = Question(
            title=f"Clone run {run.short_id}?", submit="Queue the clone", cancel_url=_page(run_id),
            what_will_change=["A new run is queued with what stands below; this one stays as it is."],
        )  # fmt: skip
        if request.method != "POST" or not form.is_valid():
            return confirm(request, question, form=form)
        try:
            made = clone_run(run, form.changes(), actor=_actor(request))
        except PlatformError as error:
            return confirm(request, question, form=form, error=error.message)
        return done(request, f"Run {made.short_id} is queued, a clone of {run.short_id}.", to=_page(made.pk))

    def annotate_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Edit notes and tags."""
        run = selectors.get_run(run_id)
        form = AnnotationForm(request.POST or None, initial={"notes": run.notes, "tags": " ".join(run.tag_names)})
        question = Question(title=f"Notes and tags of run {run.short_id}", submit="Save", cancel_url=_page(run_id))
        if request.method != "POST" or not form.is_valid():
            return confirm(request, question, form=form)
        try:
            annotate_run(run, notes=form.cleaned_data["notes"], tags=form.tags_chosen(), actor=_actor(request))
        except PlatformError as error:
            return confirm(request, question, form=form, error=error.message)
        return done(request, f"Run {run.short_id} is noted.", to=_page(run_id))

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


def _facts(run: Run) -> list[tuple[str, Any]]:
    facts = [
        ("Recipe", run.recipe), ("Data", run.data_uri), ("Target", run.target), ("Seed", run.seed),
        ("Ordered by", run.requested_by), ("Why", run.reason), ("Attempt", run.attempt), ("Commit", run.code_commit),
        ("Asks for", ask_text(run)), ("Holds or held", lease_text(run)),
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
