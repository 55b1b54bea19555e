"""A clock with a lease, in a process of its own; started by test_lease.py and killed by it.

Usage: python -m tests.monitoring.alerts.leased_clock SLOTS_FILE
Each measurement is a line of SLOTS_FILE: process id, the moment that was measured.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main(slots: Path) -> None:
    """Evaluate slots of half a second until killed."""
    import django

    django.setup()
    from django.utils import timezone

    from monitoring.alerts.evaluation import Evaluator
    from monitoring.alerts.lease import LeaseHolder
    from monitoring.statistics import Measurement

    def measure(metric: str, **asked: object) -> Measurement:
        with slots.open("a") as file:
            file.write(f"{os.getpid()} {asked['now']:%H:%M:%S.%f}\n")
        return Measurement(metric=metric, value=0.0, samples=100)

    evaluator = Evaluator(
        measure=measure, list_active_versions=lambda since: [("mnist", 1)],
        serving_versions=lambda endpoint: frozenset({1}), clock=timezone.now, slot_s=0.5,
        lease=LeaseHolder(name="alert rules", duration_s=2),
    )  # fmt: skip
    while True:
        evaluator.run()
        time.sleep(0.1)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    main(Path(sys.argv[1]))
