"""Versions in the console: metrics, lineage, and the buttons Deploy and Set alias."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from aiplatform.console.pages import Question, confirm, done, page_context
from aiplatform.errors import PlatformError
from training import deployment, engines, registry, selectors
from training.admin.base import ReadOnlyAdmin
from training.cli.texts import metrics_text
from training.models import ModelVersion
from training.names import NAME_PATTERN


class EndpointForm(forms.Form):
    """Where to deploy."""

    endpoint = forms.RegexField(
        regex=rf"^{NAME_PATTERN}$", max_length=63, help_text="An endpoint's name; a new name makes a new endpoint."
    )
    reason = forms.CharField(max_length=200, required=False, help_text="For the history.")


class AliasForm(forms.Form):
    """Which alias to point here."""

    alias = forms.RegexField(
        regex=rf"^{NAME_PATTERN}$", max_length=63, initial="champion", help_text="For example champion or challenger."
    )


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """Ready versions of all models."""

    empty_hint = "Each training that succeeds makes the next version of its model."

    list_display = ("name_shown", "aliases_shown", "framework", "metrics_shown", "created_at")
    list_filter = ("model", "framework", "task")
    search_fields = ("model__name", "artifact_digest")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        """Return ready versions."""
        return selectors.list_versions()

    @admin.display(description="Version", ordering="version")
    def name_shown(self, version: ModelVersion) -> str:
        """Return model and number."""
        return f"{version.model.name} {version.version}"

    @admin.display(description="Aliases")
    def aliases_shown(self, version: ModelVersion) -> str:
        """Return the aliases."""
        return ", ".join(alias.name for alias in version.aliases.all()) or "-"

    @admin.display(description="Metrics")
    def metrics_shown(self, version: ModelVersion) -> str:
        """Return the metrics on one line."""
        return metrics_text(version.metrics)

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons."""
        return [
            path("<int:version_id>/deploy/", self.guarded(self.deploy_view), name="training_modelversion_deploy"),
            path("<int:version_id>/alias/", self.guarded(self.alias_view), name="training_modelversion_alias"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a version."""
        self.require_view(request)
        version = get_object_or_404(selectors.list_versions(), pk=object_id)
        lineage = version.lineage
        parameters, packages = lineage.pop("parameters", {}), lineage.pop("packages", {})
        context = page_context(
            request,
            title=f"{version.model.name} version {version.version}",
            version=version,
            original=version,
            opts=self.opts,
            lineage=lineage,
            parameters=parameters,
            packages=packages,
            engines=engines.find_engines(version.artifact_digest),
            may_change=self.has_change_permission(request),
        )
        return TemplateResponse(request, "training/version_page.html", context)

    def deploy_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """Ask where, then deploy."""
        version = get_object_or_404(selectors.list_versions(), pk=version_id)
        page = _page(version)
        question = Question(
            title=f"Deploy {version.model.name} version {version.version}?",
            submit="Deploy",
            cancel_url=page,
            what_will_change=[
                f"The endpoint gives all its traffic to version {version.version}.",
                "Replicas load it beside the present version, check it, then switch; no request fails.",
            ],
        )
        form = EndpointForm(request.POST or None, initial={"endpoint": version.model.name})
        if request.method != "POST" or not form.is_valid():
            return confirm(request, question, form=form)
        endpoint = form.cleaned_data["endpoint"]
        try:
            deployment.order_deployment(
                version, endpoint=endpoint, actor=request.user.get_username(), reason=form.cleaned_data["reason"]
            )
        except PlatformError as error:
            return confirm(request, question, form=form, error=error.message)
        return done(request, f"Endpoint '{endpoint}' is switching to version {version.version}.", to=page)

    def alias_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """Ask which, then set the alias."""
        version = get_object_or_404(selectors.list_versions(), pk=version_id)
        question = Question(
            title=f"Set an alias for {version.model.name} version {version.version}?",
            submit="Set the alias",
            cancel_url=_page(version),
            what_will_change=["The alias names this version from now on, wherever it pointed before."],
        )
        form = AliasForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            return confirm(request, question, form=form)
        try:
            alias = registry.set_alias(
                model_name=version.model.name, alias=form.cleaned_data["alias"], reference=str(version.version),
                actor=request.user.get_username(),
            )  # fmt: skip
        except PlatformError as error:
            return confirm(request, question, form=form, error=error.message)
        return done(request, f"'{alias.name}' is version {version.version} now.", to=_page(version))


def _page(version: ModelVersion) -> str:
    return reverse("admin:training_modelversion_change", args=[version.pk])
