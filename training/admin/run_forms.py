"""The forms of a run's page: its clone, its notes and tags; and the list's filter by tag."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from aiplatform.errors import InvalidInputError
from training import selectors
from training.annotating import LONGEST_NOTES, RunChanges
from training.cli.arguments import parse_settings
from training.models import Run
from training.resources.asking import ResourceOrder, parse_size


class CloneForm(forms.Form):
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

    cores = forms.FloatField(required=False, help_text="Empty: the machine's share.")
    memory = forms.CharField(
        required=False, max_length=20, help_text="As 512M or 3.5G, and a limit; empty: as runs like it took."
    )
    gpus = forms.IntegerField(label="GPUs", required=False, min_value=0, help_text="Empty: the machine's share.")
    gpu_memory = forms.CharField(label="GPU memory", required=False, max_length=20, help_text="Of each device.")
    priority = forms.IntegerField(initial=0, required=False, help_text="-100 to 100; higher goes first.")

    @staticmethod
    def initial_of(run: Run) -> dict[str, Any]:
        """Return the fields as the run has them."""
        lines = "\n".join(f"{name}={value}" for name, value in run.parameters.items())
        fields = ("data_uri", "target", "model_name", "seed", "cores", "gpus", "priority")
        sizes = {"memory": run.memory_bytes, "gpu_memory": run.gpu_memory_bytes}
        shown = {name: "" if size is None else str(size) for name, size in sizes.items()}
        return {"parameters": lines, **shown, **{name: getattr(run, name) for name in fields}}

    def clean_memory(self) -> int | None:
        """Return the bytes."""
        return _size(self.cleaned_data["memory"])

    def clean_gpu_memory(self) -> int | None:
        """Return the bytes."""
        return _size(self.cleaned_data["gpu_memory"])

    def clean_parameters(self) -> dict[str, str]:
        """Return the parameters by name."""
        lines = [line.strip() for line in self.cleaned_data["parameters"].splitlines()]
        try:
            return parse_settings([line for line in lines if line])
        except InvalidInputError as error:
            raise forms.ValidationError(error.message.replace("--set takes", "a line reads")) from error

    def changes(self) -> RunChanges:
        """Return what was filled in."""
        fields = dict(self.cleaned_data)
        resources = ResourceOrder(
            cores=fields.pop("cores"),
            memory_bytes=fields.pop("memory"),
            gpus=fields.pop("gpus"),
            gpu_memory_bytes=fields.pop("gpu_memory"),
            priority=fields.pop("priority") or 0,
        )
        return RunChanges(**fields, resources=resources)


def _size(text: str) -> int | None:
    try:
        return parse_size(text) if text.strip() else None
    except InvalidInputError as error:
        raise forms.ValidationError(error.message) from error


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
