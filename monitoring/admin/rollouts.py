"""Pages of rollouts: the list, one rollout with its steps, an endpoint's line of time, the hold, policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display

from aiplatform.console.pages import Question, confirm, done, page_context
from aiplatform.errors import NotFoundError, PlatformError
from aiplatform.services import inference_client, training_client
from monitoring.admin.read_only import ReadOnlyAdmin
from monitoring.admin.rollout_forms import HoldForm, NoForm, StartForm
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import AutomationHold, PromotionPolicy, Rollout
from monitoring.rollouts import holds, selectors, services
from monitoring.rollouts.story import rollout_story
from monitoring.rollouts.timeline import build_timeline

_TONES = {"promoted": "success", "rolled back": "danger", "aborted": "warning", "running": "info"}
_ORDERS: dict[str, tuple[str, bool, str, Callable[..., Rollout]]] = {
    "pause": ("Pause", False, "No further step begins; a bad verdict still leads back.", services.pause_rollout),
    "resume": ("Resume", False, "The next step begins as soon as its time has come.", services.resume_rollout),
    "abort": ("Abort", True, "The traffic before comes back; this is done also while automation is held.",
              services.abort_rollout),
    "promote": ("Promote", True, "The challenger gets all requests without the gates that are left.",
                services.promote_rollout),
}  # fmt: skip


@admin.register(Rollout)
class RolloutAdmin(ReadOnlyAdmin):
    """Rollouts, each on a page of its own."""

    empty_hint = (
        "A rollout brings a new version to an endpoint's traffic step by step, and back by itself if it does worse."
    )

    list_display = ("endpoint", "versions", "shown_state", "waiting_for", "started_by", "created_at", "ended_at")
    list_display_links = ("endpoint", "versions")
    list_filter = ("state", "endpoint")
    search_fields = ("endpoint", "model")
    change_list_template = "monitoring/rollouts/list.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the pages before the table's own."""
        wrap = self.admin_site.admin_view
        return [
            path("start/", wrap(self.start), name="monitoring-rollout-start"),
            path("automation/", wrap(self.automation), name="monitoring-automation"),
            path("automation/lift/<int:pk>/", wrap(self.lift), name="monitoring-automation-lift"),
            path("timeline/<str:endpoint>/", wrap(self.timeline), name="monitoring-timeline"),
            path("<int:pk>/order/<str:word>/", wrap(self.order), name="monitoring-rollout-order"),
            *super().get_urls(),
        ]

    @admin.display(description="Versions")
    def versions(self, rollout: Rollout) -> str:
        """Return who replaces whom."""
        return f"{rollout.champion} -> {rollout.challenger}"

    @display(description="State", label=_TONES)  # type: ignore[untyped-decorator]
    def shown_state(self, rollout: Rollout) -> str:
        """Return the state as a badge."""
        return rollout.get_state_display().lower()

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show one rollout: where it stands, its steps with their evidence, its timeline, buttons."""
        self._require(request, "view")
        rollout = self._get(object_id)
        context = page_context(
            request, title=str(rollout), story=rollout_story(rollout), may_change=self._may(request, "change"),
            opts=self.model._meta, original=rollout,
        )  # fmt: skip
        return TemplateResponse(request, "monitoring/rollouts/rollout.html", context)

    def order(self, request: HttpRequest, pk: int, word: str) -> HttpResponse:
        """Ask, then pause, resume, abort or promote."""
        self._require(request, "change")
        if word not in _ORDERS:
            raise Http404
        rollout = self._get(str(pk))
        label, is_dangerous, effect, give = _ORDERS[word]
        page = reverse("admin:monitoring_rollout_change", args=[pk])
        question = Question(
            title=f"{label} the rollout of version {rollout.challenger} at {rollout.endpoint}?", submit=label,
            cancel_url=page, is_dangerous=is_dangerous, what_will_change=[effect],
        )  # fmt: skip

        def act(_: dict[str, Any]) -> HttpResponse:
            give(pk, actor=request.user.get_username(), now=timezone.now())
            return done(request, f"{label} is ordered.", to=page)

        return _ask(request, question, NoForm(request.POST if request.method == "POST" else None), act)

    def start(self, request: HttpRequest) -> HttpResponse:
        """Ask for an endpoint and a challenger, then begin."""
        self._require(request, "change")
        question = Question(
            title="Bring a challenger through the gates?", submit="Start",
            cancel_url=reverse("admin:monitoring_rollout_changelist"),
            what_will_change=["Its metric is compared, recorded requests are replayed, live ones copied; then it gets"
                              " a growing share. A bad verdict brings the present traffic back."],
        )  # fmt: skip

        def act(data: dict[str, Any]) -> HttpResponse:
            rollout = services.start_rollout(
                **data, actor=request.user.get_username(), now=timezone.now(), inference=inference_client(),
                training=training_client(),
            )  # fmt: skip
            return done(
                request, "The rollout has begun.", to=reverse("admin:monitoring_rollout_change", args=[rollout.pk])
            )

        initial = {"endpoint": request.GET.get("endpoint", ""), "challenger": "challenger"}
        return _ask(request, question, StartForm(request.POST or None, initial=initial), act)

    def timeline(self, request: HttpRequest, endpoint: str) -> HttpResponse:
        """Show all that happened to an endpoint on one line of time."""
        self._require(request, "view")
        try:
            found = build_timeline(endpoint, inference=inference_client(), training=training_client())
        except NotFoundError as error:
            raise Http404(error.message) from error
        context = page_context(
            request, title=f"Timeline of {endpoint}", timeline=found, active=selectors.find_active_rollout(endpoint),
            may_change=self._may(request, "change"),
        )  # fmt: skip
        return TemplateResponse(request, "monitoring/rollouts/timeline.html", context)

    def automation(self, request: HttpRequest) -> HttpResponse:
        """Show the holds that are in force, and a form to place one."""
        self._require(request, "change")
        question = Question(
            title="Hold all automation?", submit="Hold", is_dangerous=True,
            cancel_url=reverse("admin:monitoring_rollout_changelist"),
            text="; ".join(holds.describe_hold(hold) for hold in holds.list_holds()),
            what_will_change=["No rollout goes on, forwards or back; no rule acts; no retraining begins.",
                              "What a person orders is done. Everybody sees the hold, on every page."],
        )  # fmt: skip

        def act(data: dict[str, Any]) -> HttpResponse:
            holds.place_hold(**data, actor=request.user.get_username())
            return done(request, "Automation is held.", to=reverse("admin:monitoring_automationhold_changelist"))

        return _ask(request, question, HoldForm(request.POST or None), act)

    def lift(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then let automation go on."""
        self._require(request, "change")
        hold = AutomationHold.objects.filter(pk=pk, lifted_at=None).first()
        if hold is None:
            raise Http404
        to = reverse("admin:monitoring_automationhold_changelist")
        question = Question(
            title="Let automation go on?", submit="Lift the hold", cancel_url=to,
            what_will_change=[holds.describe_hold(hold), "Rollouts, actions and retrainings go on where they stood."],
        )  # fmt: skip

        def act(_: dict[str, Any]) -> HttpResponse:
            holds.lift_hold(endpoint=hold.endpoint, actor=request.user.get_username())
            return done(request, "Automation goes on.", to=to)

        return _ask(request, question, NoForm(request.POST if request.method == "POST" else None), act)

    def _get(self, pk: str) -> Rollout:
        try:
            return selectors.get_rollout(int(pk))
        except (NotFoundError, ValueError) as error:
            raise Http404(str(error)) from error

    def _may(self, request: HttpRequest, what: str) -> bool:
        return bool(request.user.has_perm(f"monitoring.{what}_rollout"))

    def _require(self, request: HttpRequest, what: str) -> None:
        if not self._may(request, what):
            raise PermissionDenied


@admin.register(AutomationHold)
class AutomationHoldAdmin(ReadOnlyAdmin):
    """Who stopped automation, where, why, and who let it go on."""

    empty_hint = (
        "Rollouts, rules and retrainings act by themselves. 'Hold all automation' above the rollouts stops them."
    )

    list_display = ("where", "reason", "placed_by", "placed_at", "lifted_by", "lifted_at")
    change_list_template = "monitoring/rollouts/holds.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the holds in force above the table, with a button each."""
        may_change = request.user.has_perm("monitoring.change_rollout")
        context = {"holds": holds.list_holds(), "may_change": may_change, **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    @admin.display(description="Where")
    def where(self, hold: AutomationHold) -> str:
        """Return the endpoint, or everywhere."""
        return hold.endpoint or "everywhere"


@admin.register(Retraining)
class RetrainingAdmin(ReadOnlyAdmin):
    """Retrainings that rules and people ordered."""

    empty_hint = "An alert rule whose action is 'retrain' orders one; so does:"
    empty_command = "python manage.py rollouts retrain ENDPOINT VERSION --reason WHY"

    list_display = ("endpoint", "base_version", "state", "version", "labelled", "text", "ordered_by", "created_at")
    list_filter = ("state", "endpoint")


@admin.register(PromotionPolicy)
class PromotionPolicyAdmin(ModelAdmin):  # type: ignore[misc]
    """What is special for an endpoint's challengers."""

    empty_hint = "Endpoints without a policy of their own follow the settings ROLLOUT_*."

    list_display = ("endpoint", "values", "updated_by", "updated_at")
    fields = ("endpoint", "values")

    def save_model(self, request: HttpRequest, obj: PromotionPolicy, form: Any, change: bool) -> None:
        """Keep who did it."""
        services.set_policy(endpoint=obj.endpoint, values=obj.values, actor=request.user.get_username())
        obj.pk = PromotionPolicy.objects.get(endpoint=obj.endpoint).pk


def _ask(
    request: HttpRequest, question: Question, form: forms.Form, act: Callable[[dict[str, Any]], HttpResponse]
) -> HttpResponse:
    if request.method != "POST" or not form.is_valid():
        return confirm(request, question, form=form)
    try:
        return act(form.cleaned_data)
    except PlatformError as error:
        return confirm(request, question, form=form, error=error.message, status=error.http_status)
