"""System checks of reports' settings. Ids: monitoring.E2xx."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def check_report_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The retention is above zero, and the delay is neither negative nor longer than a day."""
    problems: list[CheckMessage] = []
    if settings.REPORT_RETENTION_DAYS <= 0:
        problems.append(
            Error(
                f"REPORT_RETENTION_DAYS must be above 0, not {settings.REPORT_RETENTION_DAYS:g}",
                hint="Unset REPORT_RETENTION_DAYS for its default.",
                id="monitoring.E201",
            )
        )
    if not 0 <= settings.REPORT_DELAY_S <= 86_400:
        problems.append(
            Error(
                f"REPORT_DELAY_S must be from 0 to 86400, not {settings.REPORT_DELAY_S:g}",
                hint="Unset REPORT_DELAY_S for its default.",
                id="monitoring.E202",
            )
        )
    return problems
