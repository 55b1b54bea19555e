"""What people ask for: checked when it is ordered, completed by what runs like it took."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from django.conf import settings
from django.utils import timezone

from aiplatform.errors import InvalidInputError
from aiplatform.roles import TRAINING
from training.launchers import get_launcher
from training.models import Run
from training.resources.amounts import LEAST_CORES, Ask, Capacity, Estimate, Need, can_ever_fit, need_on
from training.resources.hosts import capacity_of, list_hosts, register_host
from training.resources.wording import explain_too_large
from training.states import RunState

HIGHEST_PRIORITY = 100
LEAST_MEMORY_BYTES = 64 * 2**20
_MOST, _MOST_BYTES = 100_000, 2**60  # what the columns hold, and more than any machine has
HEADROOM = 1.25  # on what was measured: the same run takes a little more or less each time
_COMPARED_RUNS = 5
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ResourceOrder:
    """What a run asks of a machine, as it is ordered; None: the machine's default."""

    cores: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    gpu_memory_bytes: int | None = None
    priority: int = 0

    @property
    def ask(self) -> Ask:
        """Return the amounts."""
        return Ask(
            cores=self.cores, memory_bytes=self.memory_bytes, gpus=self.gpus, gpu_memory_bytes=self.gpu_memory_bytes
        )


def resources_of(run: Run) -> ResourceOrder:
    """Return what a run was ordered with, for another one like it."""
    return ResourceOrder(
        cores=run.cores, memory_bytes=run.memory_bytes, gpus=run.gpus, gpu_memory_bytes=run.gpu_memory_bytes,
        priority=run.priority,
    )  # fmt: skip


def split_resources(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of an order that are not of resources, and those that are."""
    names = {one.name for one in dataclass_fields(ResourceOrder)}
    others = {name: value for name, value in fields.items() if name not in names}
    return others, {name: value for name, value in fields.items() if name in names}


def parse_size(text: str) -> int:
    """Return a size in bytes: a number with K, M, G or T (of 1024), as in 512M or 3.5G.

    Raises: InvalidInputError naming the form and what was given.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInputError(f"a size is a number with K, M, G or T, as in 512M or 3.5G, not '{text}'")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def check_resources(order: ResourceOrder) -> None:
    """Refuse an ask that is no amount, or that no machine which is known can ever grant.

    Raises: InvalidInputError with the rule and the numbers.
    """
    if order.cores is not None and not LEAST_CORES <= order.cores <= _MOST:
        raise InvalidInputError(f"cores must be from {LEAST_CORES:g} to {_MOST}, not {order.cores:g}")
    if order.memory_bytes is not None and not LEAST_MEMORY_BYTES <= order.memory_bytes <= _MOST_BYTES:
        raise InvalidInputError(
            f"memory must be from {LEAST_MEMORY_BYTES} (64 MiB) to {_MOST_BYTES} bytes, not {order.memory_bytes}"
        )
    for name, amount, most in (("gpus", order.gpus, _MOST), ("gpu_memory_bytes", order.gpu_memory_bytes, _MOST_BYTES)):
        if amount is not None and not 0 <= amount <= most:
            raise InvalidInputError(f"{name} must be from 0 to {most}, not {amount}")
    if not -HIGHEST_PRIORITY <= order.priority <= HIGHEST_PRIORITY:
        raise InvalidInputError(
            f"priority must be from {-HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}, not {order.priority}"
        )
    if order.ask != Ask():
        _check_capacity(order.ask)


def estimate(recipe: str, data_uri: str) -> Estimate:
    """Return what the latest runs of a recipe took, on the same data if there are any: their peak and a quarter."""
    runs = Run.objects.filter(recipe=recipe, state=RunState.SUCCEEDED, usage__memory_peak_bytes__gt=0)
    for like in (runs.filter(data_uri=data_uri), runs):
        peaks = list(
            like.order_by("-created_at").values_list("usage__memory_peak_bytes", "usage__gpu_peak_bytes")[
                :_COMPARED_RUNS
            ]
        )
        if peaks:
            return Estimate(
                memory_bytes=int(HEADROOM * max(memory for memory, _ in peaks)),
                gpu_memory_bytes=int(HEADROOM * max(gpu or 0 for _, gpu in peaks)),
            )
    return Estimate()


def _check_capacity(ask: Ask) -> None:
    """Compare with the machines that are known; where none is, the queue says what it waits for."""
    if TRAINING in settings.ROLES:
        register_host(get_launcher())
    hosts = list_hosts(timezone.now())
    capacities = [capacity_of(host) for host in hosts]
    if not hosts or any(host.is_cluster for host in hosts):
        return
    if not any(can_ever_fit(_need(ask, one), one) for one in capacities):
        raise InvalidInputError(f"the run can never start: {explain_too_large(ask, capacities)}")


def _need(ask: Ask, capacity: Capacity) -> Need:
    return need_on(ask, Estimate(), capacity)
