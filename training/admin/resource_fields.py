"""What a training asks of a machine, as fields of the forms that order one."""

from __future__ import annotations

from typing import Any

from django import forms

from aiplatform.errors import InvalidInputError
from training.models import Run
from training.resources.amounts import LEAST_CORES
from training.resources.asking import HIGHEST_PRIORITY, ResourceOrder, parse_size

RESOURCES = ("cores", "memory", "gpus", "gpu_memory", "priority")


class ResourceFields(forms.Form):
    """Cores, memory, devices and priority; what is left empty is the machine's to say."""

    cores = forms.FloatField(required=False, min_value=LEAST_CORES, help_text="Empty: the machine's share.")
    memory = forms.CharField(
        required=False, max_length=20, help_text="As 512M or 3.5G, and a limit; empty: as runs like it took."
    )
    gpus = forms.IntegerField(label="GPUs", required=False, min_value=0, help_text="Empty: the machine's share.")
    gpu_memory = forms.CharField(label="GPU memory", required=False, max_length=20, help_text="Of each device.")
    priority = forms.IntegerField(
        initial=0, required=False, min_value=-HIGHEST_PRIORITY, max_value=HIGHEST_PRIORITY,
        help_text=f"-{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}; higher goes first.",
    )  # fmt: skip

    def clean_memory(self) -> int | None:
        """Return the bytes."""
        return _size(self.cleaned_data["memory"])

    def clean_gpu_memory(self) -> int | None:
        """Return the bytes."""
        return _size(self.cleaned_data["gpu_memory"])

    def resources(self) -> ResourceOrder:
        """Return what was filled in, of a valid form."""
        given = self.cleaned_data
        return ResourceOrder(
            cores=given["cores"], memory_bytes=given["memory"], gpus=given["gpus"],
            gpu_memory_bytes=given["gpu_memory"], priority=given["priority"] or 0,
        )  # fmt: skip


def resource_values(run: Run) -> dict[str, Any]:
    """Return the fields as a run has them."""
    sizes = {"memory": run.memory_bytes, "gpu_memory": run.gpu_memory_bytes}
    shown = {name: "" if size is None else str(size) for name, size in sizes.items()}
    return {**shown, "cores": run.cores, "gpus": run.gpus, "priority": run.priority}


def _size(text: str) -> int | None:
    try:
        return parse_size(text) if text.strip() else None
    except InvalidInputError as error:
        raise forms.ValidationError(error.message) from error
