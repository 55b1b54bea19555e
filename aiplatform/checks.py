"""System checks of the kernel's settings. Each app has its own checks.py beside these.

Ids: aiplatform.E0xx errors, aiplatform.W0xx warnings; docs/settings.md lists them.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from aiplatform.roles import apps_for
from aiplatform.storage import REMOTE_SCHEMES

# The tag of all checks of the platform's own settings. A command that begins with these alone does without Django's
# checks of the code, which load every view and need longer than many a command.
SETTINGS = "settings"

_STORE_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
# Which services each role calls.
_CALLS = {
    "gateway": ("inference", "monitoring", "training"),
    "training": ("inference",),
    "inference": ("monitoring", "training"),
    "monitoring": ("inference", "training"),
    "console": ("inference", "monitoring", "training"),
}


@register(SETTINGS)
def check_secrets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse to run with missing or short secrets outside development."""
    problems: list[CheckMessage] = []
    if not settings.IS_SECRET_KEY_SET:
        problems.append(
            Error(
                "SECRET_KEY is not set", hint="Set SECRET_KEY, or AIPLATFORM_DEBUG=1 to develop.", id="aiplatform.E001"
            )
        )
    if not settings.INTERNAL_SECRETS:
        problems.append(
            Error(
                "INTERNAL_SECRETS is not set",
                hint="Set one random secret of 32 characters, the same for all services.",
                id="aiplatform.E002",
            )
        )
    elif not settings.DEBUG and any(len(secret) < 32 for secret in settings.INTERNAL_SECRETS):
        problems.append(
            Error(
                "a secret in INTERNAL_SECRETS is shorter than 32 characters",
                hint="python -c 'import secrets; print(secrets.token_hex(32))'",
                id="aiplatform.E003",
            )
        )
    return problems


@register(SETTINGS)
def check_services(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every service that a role calls is either here or has an address."""
    needed = {name for role in settings.CONFIGURED_ROLES for name in _CALLS[role]}
    missing = sorted(name for name in needed - settings.CONFIGURED_ROLES if not settings.SERVICE_URLS.get(name))
    return [
        Error(f"{name.upper()}_URL is not set and this process does not hold '{name}'",
              hint=f"Set {name.upper()}_URL=http://host:port, or add '{name}' to AIPLATFORM_ROLES.",
              id="aiplatform.E004")
        for name in missing
    ]  # fmt: skip


@register(SETTINGS)
def check_stores(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The artifact store and database are of a kind that is supported and installed."""
    scheme = settings.ARTIFACT_STORE.split("://", 1)[0]
    if scheme != "file" and scheme not in REMOTE_SCHEMES:
        return [Error(f"ARTIFACT_STORE '{settings.ARTIFACT_STORE}' must begin with file://, s3:// or gs://",
                      hint="For a local folder: file:///absolute/path", id="aiplatform.E005")]  # fmt: skip
    package = _STORE_PACKAGES.get(scheme, "fsspec")
    if importlib.util.find_spec(package) is None:
        return [Error(f"ARTIFACT_STORE uses {scheme}:// and '{package}' is not installed",
                      hint=f"pip install {package}", id="aiplatform.E006")]  # fmt: skip
    engine = settings.DATABASES["default"]["ENGINE"]
    if not engine.endswith(("sqlite3", "postgresql")):
        return [
            Error(
                f"DATABASE_URL must be sqlite or postgres, not {engine}",
                hint="postgres://user@host/name",
                id="aiplatform.E007",
            )
        ]
    return []


@register(SETTINGS)
def check_split(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of a split that shares nothing: SQLite files and local caches are per machine."""
    is_split = len(apps_for(settings.CONFIGURED_ROLES)) < 4 or any(settings.SERVICE_URLS.values())
    if is_split and settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return [
            Warning(
                "services that are split share a SQLite file",
                hint="Set DATABASE_URL to PostgreSQL.",
                id="aiplatform.W001",
            )
        ]
    return []


@register(SETTINGS)
def check_data_folder(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The folder for data can be written."""
    if os.access(settings.DATA_DIR, os.W_OK | os.X_OK):
        return []
    return [
        Error(
            f"DATA_DIR '{settings.DATA_DIR}' is not a folder that this process may write",
            hint="Create it, or set DATA_DIR to one that is writable.",
            id="aiplatform.E008",
        )
    ]


@register(SETTINGS)
def check_machine_code(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of machine code that was built and is not what the sources say."""
    found = settings.FOUND_MACHINE_CODE
    if found is None or found.is_used or not found.is_built:
        return []
    return [
        Warning(
            f"the machine code is not used: {found.problem}",
            hint="Build it again (make machine-code), or remove it (python -m aiplatform.machine_code remove).",
            id="aiplatform.W002",
        )
    ]
