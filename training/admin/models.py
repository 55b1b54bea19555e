"""Models in the console: their versions and aliases."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from aiplatform.console.pages import Question, confirm, done, failed, page_context
from aiplatform.errors import PlatformError
from training import registry, selectors
from training.admin.base import ReadOnlyAdmin
from training.models import RegisteredModel


@admin.register(RegisteredModel)
class RegisteredModelAdmin(ReadOnlyAdmin):
    """Models that have a version."""

    empty_hint = "A training that succeeds registers its model here; one from elsewhere is imported:"
    empty_command = "python manage.py models import PATH --name NAME"

    list_display = ("name", "newest_shown", "aliases_shown", "created_at")
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RegisteredModel]:
        """Return models with a ready version."""
        return selectors.list_models()

    @admin.display(description="Newest version", ordering="newest")
    def newest_shown(self, model: RegisteredModel) -> int:
        """Return the newest ready version."""
        return selectors.newest_number(model)

    @admin.display(description="Aliases")
    def aliases_shown(self, model: RegisteredModel) -> str:
        """Return the aliases with their versions."""
        return ", ".join(f"{alias.name}: {alias.version.version}" for alias in model.aliases.all()) or "-"

    def get_urls(self) -> list[URLPattern]:
        """Add the button."""
        remove = self.guarded(self.remove_alias_view)
        return [
            path("<int:model_id>/alias/<str:alias>/remove/", remove, name="training_registeredmodel_remove_alias"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a model."""
        self.require_view(request)
        model = get_object_or_404(selectors.list_models(), pk=object_id)
        context = page_context(
            request,
            title=model.name,
            model=model,
            original=model,
            opts=self.opts,
            versions=selectors.list_versions(model.name),
            may_change=self.has_change_permission(request),
        )
        return TemplateResponse(request, "training/model_page.html", context)

    def remove_alias_view(self, request: HttpRequest, model_id: int, alias: str) -> HttpResponse:
        """Ask, then remove an alias."""
        model = get_object_or_404(selectors.list_models(), pk=model_id)
        page = reverse("admin:training_registeredmodel_change", args=[model.pk])
        if request.method != "POST":
            question = Question(
                title=f"Remove the alias '{alias}' of {model.name}?",
                submit="Remove the alias",
                cancel_url=page,
                what_will_change=[
                    "What asks for the model by this alias finds nothing any more.",
                    "The version stays.",
                ],
                is_dangerous=True,
            )
            return confirm(request, question)
        try:
            registry.remove_alias(model_name=model.name, alias=alias, actor=request.user.get_username())
        except PlatformError as error:
            return failed(request, error.message, to=page)
        return done(request, f"The alias '{alias}' is removed.", to=page)
