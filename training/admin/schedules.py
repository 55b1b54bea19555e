"""Training schedules in the console: the list, a page, and buttons that ask first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from aiplatform.console.pages import Question, confirm, done, failed, page_context
from aiplatform.errors import PlatformError
from training import scheduling
from training.admin.base import ReadOnlyAdmin
from training.admin.schedule_form import ScheduleForm, time_text
from training.badges import state_badge
from training.cli.scheduling import when_text
from training.models import TrainingSchedule

_STEPS = {
    "now": ("Train now", "A run is queued, whether or not it is time."),
    "pause": ("Pause", "It trains no more until it is resumed."),
    "resume": ("Resume", "It trains again from the next occasion on."),
    "remove": ("Remove", "It is forgotten; its runs stay."),
}


@admin.register(TrainingSchedule)
class TrainingScheduleAdmin(ReadOnlyAdmin):
    """Training at set times, and on new data."""

    empty_hint = "A schedule trains again as a run did, at set times or when there is new data."

    list_display = ("name", "when", "next_shown", "last_shown", "last_outcome", "is_enabled")
    list_filter = ("is_enabled",)
    search_fields = ("name", "data_uri")
    list_select_related = ("last_run", "like")

    @admin.display(description="When")
    def when(self, schedule: TrainingSchedule) -> str:
        """Return the cron line, or how often it looks for new data."""
        return when_text(schedule)

    @admin.display(description="Next (UTC)")
    def next_shown(self, schedule: TrainingSchedule) -> str:
        """Return when it is looked at next."""
        upcoming = scheduling.next_fire_at(schedule)
        return f"{upcoming:%Y-%m-%d %H:%M}" if upcoming else "-"

    @admin.display(description="Last run")
    def last_shown(self, schedule: TrainingSchedule) -> SafeString | str:
        """Return the state of the last run."""
        return state_badge(schedule.last_run) if schedule.last_run else "-"

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons."""
        step, times = self.guarded(self.step_view), self.admin_site.admin_view(self.times_view)
        return [
            path("<int:schedule_id>/do/<slug:step>/", step, name="training_schedule_step"),
            path("times/", times, name="training_schedule_times"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may keep a new schedule."""
        return bool(request.user.has_perm("training.add_trainingschedule"))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask what is to be repeated and when, then keep the schedule."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ScheduleForm(request.POST or None, initial={"like": request.GET.get("like", "")}, label_suffix="")
        if request.method != "POST" or not form.is_valid():
            return self._ask(request, form)
        try:
            schedule = scheduling.create_schedule(form.order(actor=request.user.get_username()))
        except PlatformError as error:
            return self._ask(request, form, error=error.message)
        page = reverse("admin:training_trainingschedule_change", args=[schedule.pk])
        return done(request, f"Schedule '{schedule.name}' is in force.", to=page)

    def _ask(self, request: HttpRequest, form: ScheduleForm, *, error: str = "") -> HttpResponse:
        context = page_context(
            request, title="New schedule", form=form, error=error,
            may_order=request.user.has_perm("training.add_run"),
        )  # fmt: skip
        return TemplateResponse(request, "training/schedule_form.html", context)

    def times_view(self, request: HttpRequest) -> HttpResponse:
        """Answer when a cron line comes next, or why it does not, as JSON."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            times = scheduling.next_times(request.GET.get("cron", "").strip())
        except PlatformError as error:
            return JsonResponse({"times": [], "error": error.message})
        return JsonResponse({"times": [time_text(time) for time in times], "error": ""})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a schedule."""
        self.require_view(request)
        schedule = get_object_or_404(TrainingSchedule.objects.select_related("like", "last_run"), pk=object_id)
        shown = ["now", "pause" if schedule.is_enabled else "resume", "remove"]
        context = page_context(
            request,
            title=f"Schedule {schedule.name}",
            schedule=schedule,
            original=schedule,
            opts=self.opts,
            when=when_text(schedule),
            upcoming=[time_text(time) for time in _upcoming(schedule)],
            buttons=[(step, _STEPS[step][0]) for step in shown] if self.has_change_permission(request) else [],
        )
        return TemplateResponse(request, "training/schedule_page.html", context)

    def step_view(self, request: HttpRequest, schedule_id: int, step: str) -> HttpResponse:
        """Ask, then do the step."""
        schedule = get_object_or_404(TrainingSchedule, pk=schedule_id)
        page = reverse("admin:training_trainingschedule_change", args=[schedule_id])
        if step not in _STEPS:
            return failed(request, f"There is no step '{step}'.", to=page)
        title, what = _STEPS[step]
        if request.method != "POST":
            question = Question(
                title=f"{title}: schedule {schedule.name}?", submit=title, cancel_url=page, what_will_change=[what],
                is_dangerous=step == "remove",
            )  # fmt: skip
            return confirm(request, question)
        try:
            said, to = _do(schedule, step, actor=request.user.get_username())
        except PlatformError as error:
            return failed(request, error.message, to=page)
        return done(request, said, to=to or page)


def _upcoming(schedule: TrainingSchedule) -> list[datetime]:
    """Return when it comes next; of a cron line five times, none if it is paused."""
    first = scheduling.next_fire_at(schedule)
    if first is None or not schedule.cron:
        return [first] if first else []
    return scheduling.next_times(schedule.cron)


def _do(schedule: TrainingSchedule, step: str, *, actor: str) -> tuple[str, str]:
    """Do a step; return what to say, and where to go if not back to the page."""
    if step == "now":
        run = scheduling.run_now(schedule, actor=actor)
        return f"Run {run.short_id} is queued.", reverse("admin:training_run_change", args=[run.pk])
    if step == "remove":
        name = schedule.name
        scheduling.remove_schedule(schedule, actor=actor)
        return f"Schedule '{name}' is removed.", reverse("admin:training_trainingschedule_changelist")
    scheduling.enable_schedule(schedule, is_enabled=step == "resume", actor=actor)
    return f"Schedule '{schedule.name}' is {'in force' if step == 'resume' else 'paused'}.", ""
