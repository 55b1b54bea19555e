"""System checks of training's settings: training.E0xx errors, training.W0xx warnings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from aiplatform.checks import SETTINGS
from aiplatform.errors import InvalidConfigurationError
from aiplatform.roles import TRAINING
from aiplatform.storage import is_remote, local_path
from training.data.sql_places import parse_databases
from training.launchers import get_launcher
from training.launchers.cgroups import AUTO, NONE, find_delegation
from training.recipes.keras_backends import BACKENDS

_POSITIVE = (
    "TRAINING_LEASE_S", "TRAINING_STALL_S", "TRAINING_WALL_CLOCK_S", "TRAINING_STOP_GRACE_S",
    "TRAINING_ATTEMPTS", "TRAINING_SLOTS", "TRAINING_RING_AGAIN_S",
    "TRAINING_LISTENERS", "TRAINING_WORKERS_PER_NODE", "TRAINING_FAIR_SHARE_S",
)  # fmt: skip
_NOT_NEGATIVE = ("TRAINING_CORES", "TRAINING_MEMORY_BYTES", "TRAINING_BACKFILL_S", "TRAINING_AGING_S")
_SHORTEST_LEASE_S = 2


@register(SETTINGS)
def check_limits(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Limits are above zero, and a lease is long enough to be renewed several times."""
    problems: list[CheckMessage] = [
        Error(
            f"{name} must be above 0, not {getattr(settings, name)}",
            hint="Unset it for the default.",
            id="training.E001",
        )
        for name in _POSITIVE
        if getattr(settings, name) <= 0
    ]
    problems += [
        Error(
            f"{name} must be 0 or more, not {getattr(settings, name)}",
            hint="Unset it for the default.",
            id="training.E005",
        )
        for name in _NOT_NEGATIVE
        if getattr(settings, name) < 0
    ]
    if 0 < settings.TRAINING_LEASE_S < _SHORTEST_LEASE_S:
        problems.append(
            Warning(
                f"TRAINING_LEASE_S={settings.TRAINING_LEASE_S:g} is short: a busy machine may lose runs that are well",
                hint=f"Set {_SHORTEST_LEASE_S} or more.",
                id="training.W001",
            )
        )
    return problems


@register(SETTINGS)
def check_launcher(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """TRAINING_LAUNCHER names a launcher."""
    try:
        get_launcher()
    except InvalidConfigurationError as error:
        return [Error(error.message, hint="Set TRAINING_LAUNCHER=local.", id="training.E002")]
    return []


@register(SETTINGS)
def check_cgroup(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A cgroup that TRAINING_CGROUP names can hold trainings where this process starts them."""
    wanted = settings.TRAINING_CGROUP
    if wanted in (AUTO, NONE) or TRAINING not in settings.ROLES or settings.TRAINING_LAUNCHER != "local":
        return []
    found = find_delegation(wanted)
    if found.folder is not None:
        return []
    hint = "Name a group of version 2 without processes that this user may write and that has 'memory', or auto."
    return [Warning(f"TRAINING_CGROUP: {found.why}; runs are watched instead", hint=hint, id="training.W002")]


@register(SETTINGS)
def check_keras_backend(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """TRAINING_KERAS_BACKEND names one of Keras' backends."""
    if settings.TRAINING_KERAS_BACKEND in BACKENDS:
        return []
    return [
        Error(
            f"TRAINING_KERAS_BACKEND must be one of {', '.join(BACKENDS)}, not '{settings.TRAINING_KERAS_BACKEND}'",
            hint="Unset it for tensorflow.",
            id="training.E006",
        )
    ]


@register(SETTINGS)
def check_databases(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """DATA_DATABASES holds names and addresses; a message about it holds neither."""
    try:
        parse_databases(settings.DATA_DATABASES)
    except InvalidConfigurationError as error:
        return [Error(error.message, hint="A comma in a password is written %2C.", id="training.E004")]
    return []


@register(SETTINGS)
def check_folders(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Where this process trains, runs and artifacts can be written."""
    if TRAINING not in settings.ROLES:
        return []
    wanted = {"DATA_DIR (its folder 'runs')": Path(settings.TRAINING_DIR)}
    if not is_remote(settings.ARTIFACT_STORE) and settings.ARTIFACT_STORE.startswith(("file://", "/")):
        wanted["ARTIFACT_STORE"] = local_path(settings.ARTIFACT_STORE)
    return [
        Error(f"{name}: {path} cannot be written", hint="Name a folder that this user may write.", id="training.E003")
        for name, path in wanted.items()
        if not _can_write(path)
    ]


def _can_write(path: Path) -> bool:
    nearest = next(place for place in (path, *path.parents) if place.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
