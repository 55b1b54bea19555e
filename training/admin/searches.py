"""Hyperparameter searches in the console: the list, a page with plots and trials, and buttons that ask first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from aiplatform.console.pages import Question, confirm, done, failed, page_context
from aiplatform.errors import PlatformError
from training import selectors
from training.admin.order_forms import SearchForm
from training.admin.ordering import OrderingAdmin
from training.admin.search_drawing import search_plots
from training.models import Search
from training.searching.orders import cancel_search, create_search, register_winner
from training.states import SearchState, TrialState

_KINDS = {
    "running": "info",
    "succeeded": "good",
    "complete": "good",
    "failed": "bad",
    "cancelled": "warn",
    "pruned": "warn",
}


class WinnerForm(forms.Form):
    """Where the winner is deployed."""

    deploy_endpoint = forms.CharField(
        label="Deploy to", max_length=63, required=False, help_text="An endpoint; empty: it is only registered."
    )


@admin.register(Search)
class SearchAdmin(OrderingAdmin):
    """Searches for good parameters."""

    empty_hint = "A search trains a recipe many times, and finds out which parameters are good."

    order_form, order_title, order_submit = SearchForm, "New search", "Begin the search"

    list_display = (
        "short",
        "state_shown",
        "recipe",
        "model_name",
        "trials_shown",
        "metric",
        "best_shown",
        "created_at",
    )
    list_filter = ("state", "recipe", "model_name")
    search_fields = ("id__startswith", "model_name", "recipe", "data_uri")
    list_display_links = ("short",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Search]:
        """Return searches with their trials."""
        return selectors.list_searches()

    @admin.display(description="Search", ordering="created_at")
    def short(self, search: Search) -> str:
        """Return the short id."""
        return search.short_id

    @admin.display(description="State", ordering="state")
    def state_shown(self, search: Search) -> SafeString:
        """Return the state as a badge."""
        return _badge(search.state, search.get_state_display())

    @admin.display(description="Trials")
    def trials_shown(self, search: Search) -> str:
        """Return how many trials there were of how many."""
        return f"{len(search.trials.all())}/{search.trials_wanted}"

    @admin.display(description="Best")
    def best_shown(self, search: Search) -> str:
        """Return the best value so far."""
        values = [t.value for t in search.trials.all() if t.state == TrialState.COMPLETE and t.value is not None]
        return f"{(min if search.is_minimized else max)(values):.5g}" if values else "-"

    def place_order(self, form: Any, *, actor: str) -> tuple[Search, str]:
        """Begin a search."""
        search = create_search(form.order(actor=actor))
        return search, f"Search {search.short_id} has begun; the clock orders its trials."

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons."""
        return [
            path("<uuid:search_id>/cancel/", self.guarded(self.cancel_view), name="training_search_cancel"),
            path("<uuid:search_id>/register/", self.guarded(self.register_view), name="training_search_register"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a search."""
        self.require_view(request)
        try:
            search = selectors.get_search(object_id)
        except PlatformError:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        trials = list(search.trials.select_related("run"))
        best = selectors.best_trial(search)
        may_change = self.has_change_permission(request)
        context = page_context(
            request,
            title=f"Search {search.short_id}: {search.recipe} on {search.data_uri}",
            search=search,
            original=search,
            opts=self.opts,
            badge=_badge(search.state, search.get_state_display()),
            best=best,
            trials=[
                (trial, _badge(trial.state, trial.get_state_display()), _short(trial.values))
                for trial in reversed(trials)
            ],
            facts=_facts(search),
            fixed=_fixed(search),
            may_cancel=may_change and search.state == SearchState.RUNNING,
            may_register=may_change and best is not None and best.run is not None and not best.run.registers,
            may_compare=sum(trial.run is not None for trial in trials) > 1,
            compare=",".join(trial.run.short_id for trial in _best_first(search, trials)[:4] if trial.run),
            plots=search_plots(search, trials),
        )
        return TemplateResponse(request, "training/search_page.html", context)

    def cancel_view(self, request: HttpRequest, search_id: UUID) -> HttpResponse:
        """Ask, then cancel."""
        search, page = get_object_or_404(Search, pk=search_id), _page(search_id)
        if request.method != "POST":
            what = ["No further trial is ordered.", "Trials that run stop after their step; it can be resumed later."]
            question = Question(
                title=f"Cancel search {search.short_id}?", submit="Cancel the search", cancel_url=page,
                what_will_change=what, is_dangerous=True,
            )  # fmt: skip
            return confirm(request, question)
        try:
            cancel_search(search, actor=request.user.get_username())
        except PlatformError as error:
            return failed(request, error.message, to=page)
        return done(request, f"Search {search.short_id} is cancelled.", to=page)

    def register_view(self, request: HttpRequest, search_id: UUID) -> HttpResponse:
        """Ask, then have the winner registered."""
        search, page = get_object_or_404(Search, pk=search_id), _page(search_id)
        form = WinnerForm(request.POST or None)
        question = Question(
            title=f"Register the best trial of search {search.short_id}?",
            submit="Register the winner",
            cancel_url=page,
            what_will_change=[
                f"The best trial's model becomes the next version of '{search.model_name}'.",
                "Its run goes on from its last checkpoint, which is its end; it does not learn again.",
            ],
        )  # fmt: skip
        if request.method != "POST" or not form.is_valid():
            return confirm(request, question, form=form)
        try:
            run = register_winner(search, **form.cleaned_data, actor=request.user.get_username())
        except PlatformError as error:
            return confirm(request, question, form=form, error=error.message)
        to = reverse("admin:training_run_change", args=[run.pk])
        return done(request, f"Run {run.short_id} writes its model.", to=to)


def _best_first(search: Search, trials: list[Any]) -> list[Any]:
    sign = 1 if search.is_minimized else -1
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    return sorted(complete, key=lambda trial: sign * trial.value)


def _badge(state: str, text: str) -> SafeString:
    return format_html('<span class="console-badge console-badge-{}">{}</span>', _KINDS[state], text)


def _facts(search: Search) -> list[tuple[str, Any]]:
    goal = "least" if search.is_minimized else "greatest"
    facts = [
        ("Recipe", search.recipe), ("Data", search.data_uri), ("Target", search.target), ("Model", search.model_name),
        ("Wanted", f"the {goal} {search.metric}"), ("Sampler", search.sampler), ("Pruner", search.pruner),
        ("At once", search.parallel), ("Seed", search.seed), ("Ordered by", search.requested_by),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value not in ("", None)]


def _fixed(search: Search) -> dict[str, Any]:
    chosen = {dimension["name"] for dimension in search.space}
    return {name: value for name, value in search.parameters.items() if name not in chosen}


def _short(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in values.items()]


def _page(search_id: UUID) -> str:
    return reverse("admin:training_search_change", args=[search_id])
