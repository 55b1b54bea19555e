"""System checks of alerting. Ids: monitoring.E1xx errors, monitoring.W1xx warnings."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

_LOCAL = ("127.0.0.1", "localhost")
_POSITIVE = ("ALERT_INTERVAL_S", "NOTIFICATION_INTERVAL_S", "NOTIFICATION_ATTEMPTS", "ALERT_RETENTION_DAYS")


def check_alert_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Intervals, attempts and retention are above zero, and the package that sends is there."""
    problems: list[CheckMessage] = [
        Error(f"{name} must be above 0, not {getattr(settings, name)}", hint=f"Unset {name} for its default.",
              id="monitoring.E101")
        for name in _POSITIVE if getattr(settings, name) <= 0
    ]  # fmt: skip
    if find_spec("apprise") is None:
        hint = "pip install apprise"
        problems.append(Error("the package 'apprise' is not installed", hint=hint, id="monitoring.E102"))
    if settings.ALERT_INTERVAL_S > 60:
        problems.append(
            Warning(f"ALERT_INTERVAL_S is {settings.ALERT_INTERVAL_S:g}: windows are of a minute, alerts come later",
                    hint="Use 60 or less.", id="monitoring.W101")
        )  # fmt: skip
    is_for_others = not settings.BIND.startswith(_LOCAL)
    if is_for_others and settings.CONSOLE_URL.removeprefix("http://").startswith((*_LOCAL, "0.0.0.0")):  # noqa: S104
        problems.append(
            Warning("links in notifications lead to this machine only: CONSOLE_URL is local",
                    hint="Set CONSOLE_URL (or PUBLIC_URL) to the address that people use.", id="monitoring.W102")
        )  # fmt: skip
    return problems
