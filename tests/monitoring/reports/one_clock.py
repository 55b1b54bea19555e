"""One of two clocks that make reports at once in processes of their own; started by test_schedules.py.

Usage: python -m tests.monitoring.reports.one_clock [late]
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta

ENDPOINTS = 8
DAY = datetime(2026, 11, 22, tzinfo=UTC)


def main(*, is_late: bool) -> None:
    """Plan and make all reports of the day; say when the first is made."""
    import django

    django.setup()

    from monitoring.reports.schedules import CLAIM_S, claim_report, list_due, make_report, plan_reports

    now = DAY + timedelta(days=1, hours=8, seconds=CLAIM_S + 1 if is_late else 0)
    plan_reports(now=now)
    for report in list_due(now):
        if claim_report(report, now):
            make_report(report, now=now)
            print("made one", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    main(is_late="late" in sys.argv[1:])
