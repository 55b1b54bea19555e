"""The rows of the places that train: each says of itself what it offers, and is forgotten when it falls silent."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from aiplatform.gpus import GpuDevice
from aiplatform.machine import this_machine
from training.launchers.base import Launcher
from training.models import ResourceHost
from training.resources.amounts import Capacity

SAY_AGAIN_S = 5.0
SILENT_S = 60.0  # a place that has not said anything for so long starts nothing
FORGOTTEN_S = 24 * 3600.0


def register_host(launcher: Launcher) -> str:
    """Say what this place offers, unless it was said just now; return its name."""
    name = launcher.place
    capacity = launcher.measure_capacity()
    known = ResourceHost.objects.filter(name=name).first()
    fields = _fields_of(capacity)
    now = timezone.now()
    is_news = known is None or any(getattr(known, key) != value for key, value in fields.items() if key != "gpus")
    if is_news or known is None or known.seen_at <= now - timedelta(seconds=SAY_AGAIN_S):
        ResourceHost.objects.update_or_create(name=name, defaults={**fields, "seen_at": now})
    return name


def list_hosts(now: datetime) -> list[ResourceHost]:
    """Return the places that have been heard of lately."""
    return list(ResourceHost.objects.filter(seen_at__gt=now - timedelta(seconds=SILENT_S)))


def silent_hosts(now: datetime) -> QuerySet[ResourceHost]:
    """Return the places that have been silent for a day, to be forgotten."""
    return ResourceHost.objects.filter(seen_at__lte=now - timedelta(seconds=FORGOTTEN_S))


def capacity_of(host: ResourceHost) -> Capacity:
    """Return what a place said that it offers."""
    return Capacity(
        cores=host.cores,
        memory_bytes=host.memory_bytes,
        cpus=tuple(host.cpus),
        gpus=tuple(msgspec.convert(host.gpus, list[GpuDevice])),
        slots=host.slots,
        has_own_cores=host.has_own_cores,
        has_own_memory=host.has_own_memory,
        limits=host.limits,
    )


def _fields_of(capacity: Capacity | None) -> dict[str, object]:
    if capacity is None:
        return {"is_cluster": True, "slots": max(1, settings.TRAINING_SLOTS), "machine": ""}
    return {
        "is_cluster": False,
        "machine": this_machine(),
        "cores": capacity.cores,
        "memory_bytes": capacity.memory_bytes,
        "cpus": list(capacity.cpus),
        "gpus": [asdict(gpu) for gpu in capacity.gpus],
        "slots": capacity.slots,
        "has_own_cores": capacity.has_own_cores,
        "has_own_memory": capacity.has_own_memory,
        "limits": capacity.limits,
    }
