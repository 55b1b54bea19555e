"""The forms of a run's page: its clone, its notes and tags; and the list's filter by tag."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from aiplatform.errors import InvalidInputError
from training import selectors
from training.admin.resource_fields import RESOURCES, ResourceFields, resource_values
from training.annotating import LONGEST_NOTES, RunChanges
from training.cli.arguments import parse_settings
from training.models import Run


class CloneForm(ResourceFields):
    """What a clone does otherwise."""

    parameters = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 12}), required=False, help_text="One parameter a line, as name=value."
    )
    data_uri = forms.CharField(label="Data", max_length=1000)
    target = forms.CharField(max_length=200, required=False, help_text="Column to predict, for tables.")
    model_name = forms.CharField(label="Model", max_length=63)
    seed = forms.IntegerField(min_value=0)
    deploy_endpoint = forms.CharField(
        label="Deploy to", max_length=63, required=False, help_text="An endpoint; empty: it is not deployed."
    )

    @staticmethod
    def initial_of(run: Run) -> dict[str, Any]:
        """Return the fields as the run has them."""
        lines = "\n".join(f"{name}={value}" for name, value in run.parameters.items())
        fields = ("data_uri", "target", "model_name", "seed")
        return {"parameters": lines, **resource_values(run), **{name: getattr(run, name) for name in fields}}

    def clean_parameters(self) -> dict[str, str]:
        """Return the parameters by name."""
        lines = [line.strip() for line in self.cleaned_data["parameters"].splitlines()]
        try:
            return parse_settings([line for line in lines if line])
        except InvalidInputError as error:
            raise forms.ValidationError(error.message.replace("--set takes", "a line reads")) from error

    def changes(self) -> RunChanges:
        """Return what was filled in."""
        fields = {name: value for name, value in self.cleaned_data.items() if name not in RESOURCES}
        return RunChanges(**fields, resources=self.resources())


class AnnotationForm(forms.Form):
    """Notes and tags."""

    notes = forms.CharField(widget=forms.Textarea(attrs={"rows": 6}), max_length=LONGEST_NOTES, required=False)
    tags = forms.CharField(required=False, max_length=1000, label="Tags", help_text="Words, separated by spaces.")

    def clean_tags(self) -> list[str]:
        """Return the words."""
        return str(self.cleaned_data["tags"]).replace(",", " ").split()

    def tags_chosen(self) -> list[str]:
        """Return the tags of a valid form."""
        return list(self.cleaned_data["tags"])


class TagFilter(admin.SimpleListFilter):
    """Runs that have a tag."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tags that most runs have."""
        tags = selectors.list_tags()
        asked = request.GET.get(self.parameter_name)
        return [(tag, tag) for tag in (tags if not asked or asked in tags else [*tags, asked])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Return the runs that have the chosen tag."""
        return queryset.filter(tags__name=self.value()) if self.value() else queryset
