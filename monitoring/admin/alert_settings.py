"""Pages of rules: what must not happen, what each found, and what it would have done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from aiplatform.console.pages import failed, page_context
from aiplatform.errors import PlatformError
from monitoring.admin.alert_forms import RuleForm
from monitoring.admin.rule_trial import trial_context
from monitoring.alerts import selectors
from monitoring.alerts.durations import duration_text
from monitoring.models.alerts import AlertRule

SEVERITY_COLOURS = {"critical": "danger", "warning": "warning", "info": "info"}


@admin.register(AlertRule)
class AlertRuleAdmin(ModelAdmin):  # type: ignore[misc]
    """Rules, and what each found last."""

    form = RuleForm
    list_display = (
        "name",
        "endpoint",
        "shown_condition",
        "shown_for",
        "shown_severity",
        "action",
        "firing",
        "is_enabled",
    )
    list_filter = ("is_enabled", "severity", "kind", "metric", "endpoint")
    search_fields = ("name", "endpoint", "metric")
    actions_detail = ("test",)
    change_form_outer_after_template = "monitoring/alerts/rule_targets.html"
    conditional_fields = {
        "version": "version_scope == 'one'",
        "comparison": "kind != 'absence'",
        "threshold": "kind != 'absence'",
        "change_unit": "kind == 'change'",
        "reference": "kind == 'change'",
        "offset_s": "kind == 'change' && reference == 'earlier'",
    }
    fieldsets = (
        (None, {"fields": ("name", "is_enabled", "severity", "summary")}),
        ("What it watches", {
            "description": "One endpoint or all of them. Each version is watched by itself.",
            "fields": ("endpoint", "version_scope", "version", "metric", "feature")}),
        ("When it is wrong", {
            "description": "The metric is measured over the window, again and again. Test the rule before you rely on "
                           "it: the button above shows what it would have done over the last week.",
            "fields": ("kind", ("comparison", "threshold"), ("change_unit", "reference"), "offset_s",
                       ("window_s", "minimum_samples"))}),
        ("How patient it is", {
            "description": "Wrong: pending. Wrong for long enough: firing. Well again: recovering. Well for long "
                           "enough: resolved. Times are typed as 90 s, 5 min, 1 h 30 min or 7 d.",
            "fields": (("for_s", "keep_firing_for_s"), ("no_data", "on_error"), "quiet_hours")}),
        ("What follows", {"fields": ("channels",)}),
        ("What it does by itself", {
            "fields": (("action", "action_is_dry_run"), ("action_cooldown_s", "action_limit_per_day"),
                       "action_source")}),
        ("Labels", {"fields": ("labels", "annotations"), "classes": ("collapse",)}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        """Return all rules, with how many alerts of each fire."""
        return selectors.list_rules()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the metrics there are."""
        if db_field.name == "metric":
            kwargs["widget"] = self.form.Meta.widgets["metric"]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Show below a rule what it watches now, and the alerts that it made."""
        rule = AlertRule.objects.filter(pk=object_id).first() if object_id else None
        below = {}
        if rule:
            below = {
                "targets": list(selectors.list_rule_targets(rule)[:100]),
                "past_alerts": list(selectors.list_rule_alerts(rule)[:20]),
            }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **below})

    @display(description="Condition")  # type: ignore[untyped-decorator]
    def shown_condition(self, rule: AlertRule) -> str:
        """Return the condition, whose durations stay in one line."""
        return rule.condition.replace(window := duration_text(rule.window_s), _unbroken(window))

    @display(description="For", ordering="for_s")  # type: ignore[untyped-decorator]
    def shown_for(self, rule: AlertRule) -> str:
        """Return how long it must be wrong before it fires."""
        return _unbroken(duration_text(rule.for_s) if rule.for_s else "at once")

    @display(description="Severity", label=SEVERITY_COLOURS)  # type: ignore[untyped-decorator]
    def shown_severity(self, rule: AlertRule) -> str:
        """Return the severity, as a badge."""
        return rule.severity

    @display(description="Firing")  # type: ignore[untyped-decorator]
    def firing(self, rule: AlertRule) -> int:
        """Return how many of its alerts fire."""
        return int(getattr(rule, "firing_count", 0))

    @action(description="Test on the last week", icon="science", permissions=["view"])  # type: ignore[untyped-decorator]
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what the rule, as it is stored, would have done over the last week."""
        rule = AlertRule.objects.get(pk=object_id)
        page = reverse("admin:monitoring_alertrule_change", args=[rule.pk])
        try:
            context = trial_context(rule)
        except PlatformError as error:
            return failed(request, error.message, to=page)
        title = f"{rule.name}: the last week"
        return TemplateResponse(
            request, "monitoring/alerts/trial.html", page_context(request, title=title, rule_page=page, **context)
        )


def _unbroken(text: str) -> str:
    """Return a text that no line break divides."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
