"""The ledger in the console: machines with what they have, who holds it, and who waits why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from aiplatform.console.pages import page_context
from training.admin.base import ReadOnlyAdmin
from training.models import ResourceHost
from training.resources.reporting import resource_record
from training.resources.wording import cores_text, memory_text


@admin.register(ResourceHost)
class ResourceHostAdmin(ReadOnlyAdmin):
    """Machines: one page for all of them, instead of a list of rows."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the ledger."""
        self.require_view(request)
        record = resource_record()
        context = page_context(
            request,
            title="Machines and queue",
            opts=self.opts,
            hosts=[_host(host) for host in record["hosts"]],
            waiting=[{**one, "url": _run_page(one["run"])} for one in record["waiting"]],
            used=record["used"][:10],
        )
        return TemplateResponse(request, "training/resources_page.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the ledger: a machine has no page of its own."""
        return self.changelist_view(request, extra_context)


def _host(host: dict[str, Any]) -> dict[str, Any]:
    index = {gpu["uuid"]: gpu["index"] for gpu in host["gpus"]}
    return {
        **host,
        "bars": _bars(host),
        "devices": [
            {**gpu, "used": f"{memory_text(gpu['used_bytes'])} of {memory_text(gpu['memory_bytes'])}",
             "share": _share(gpu["used_bytes"], gpu["memory_bytes"])}
            for gpu in host["gpus"]
        ],
        "rows": [
            {
                **one,
                "url": _run_page(one["run"]) if one["run"] else "",
                "cores_shown": cores_text(one["cores"]) if one["cores"] else "-",
                "memory_shown": memory_text(one["memory_bytes"]),
                "limit_shown": _limit_text(one),
                "peak_shown": memory_text(one["memory_peak_bytes"]) if one["memory_peak_bytes"] else "-",
                "gpus_shown": ", ".join(str(index[uuid]) for uuid in one["gpus"] if uuid in index) or "-",
            }
            for one in host["holders"]
        ],
    }  # fmt: skip


def _bars(host: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Return name, words and share held, percent, of cores and memory; a cluster has neither."""
    if host["is_cluster"]:
        held = len(host["holders"])
        return [("Attempts", f"{held} of {host['slots']} ordered", _share(held, host["slots"]))]
    cores, memory = host["cores"] - host["cores_free"], host["memory_bytes"] - host["memory_free_bytes"]
    return [
        ("Cores", f"{cores_text(cores)} of {cores_text(host['cores'])} held", _share(cores, host["cores"])),
        (
            "Memory",
            f"{memory_text(memory)} of {memory_text(host['memory_bytes'])} held",
            _share(memory, host["memory_bytes"]),
        ),
    ]


def _limit_text(holder: dict[str, Any]) -> str:
    if not holder["memory_limit_bytes"]:
        return "-"
    by = f" ({holder['limits']})" if holder["limits"] else ""
    return f"{memory_text(holder['memory_limit_bytes'])}{by}"


def _share(part: float, whole: float) -> int:
    return min(100, round(100 * part / whole)) if whole else 0


def _run_page(run_id: str) -> str:
    return reverse("admin:training_run_change", args=[run_id])
