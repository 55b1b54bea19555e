"""One of several clocks that run at once in processes of their own; started by test_several_clocks.py.

Usage: python -m tests.monitoring.alerts.one_clock START_FILE DELIVERIES_FILE
It waits for START_FILE, then evaluates and sends; each delivery is a line in DELIVERIES_FILE.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

ENDPOINTS = 12
ROUNDS = 3


def main(start: Path, deliveries: Path) -> None:
    """Evaluate and send as soon as the start is given."""
    import django

    django.setup()
    from django.utils import timezone

    from monitoring.alerts.notifications import Backoff, Delivery, send_due_notifications
    from tests.monitoring.alerts.world import World

    def deliver(delivery: Delivery) -> None:
        with deliveries.open("a") as file:
            file.write(f"{delivery.title}\n")

    world = World(value=0.2, active=[(f"endpoint-{index}", 1) for index in range(ENDPOINTS)])
    print("ready", flush=True)
    while not start.exists():
        time.sleep(0.001)
    for _ in range(ROUNDS):
        world.now = timezone.now()
        world.evaluator().run()
        world.flush()
        send_due_notifications(deliver=deliver, clock=timezone.now, backoff=Backoff(attempts=3))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
