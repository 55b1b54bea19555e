"""Run by a test: labels come late, in processes of their own, while others add their minutes up to hours.

Prints how many labelled rows the counts hold, before and after a step that was held in its middle, as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from datetime import timedelta
from multiprocessing.synchronize import Event
from typing import Any

import django
from django.core.management import call_command
from django.db import close_old_connections, connection

django.setup()

from aiplatform.contracts.monitoring import FeedbackItem  # noqa: E402
from monitoring.feedback import record_feedback  # noqa: E402
from monitoring.ingestion import record_predictions  # noqa: E402
from monitoring.models import PerformanceWindow  # noqa: E402
from monitoring.performance.counts import add_up, unpack_counts  # noqa: E402
from monitoring.performance.rollup import roll_up_performance  # noqa: E402
from tests.monitoring.factories import NOW, make_batch  # noqa: E402

MINUTES, ROWS, WRITERS, CLOCKS = 3, 80, 2, 2
HELD_ROWS = 40  # of them joined before, and as many again while the step is held
PATIENCE_S = 2.0  # for a label that waits for the held step; what comes earlier is no failure
SENT = (NOW - timedelta(days=3)).replace(minute=0, second=0, microsecond=0)


def ids_of(minute: int) -> list[str]:
    return [f"m{minute}-{i}" for i in range(ROWS)]


def send() -> None:
    """Record the predictions of a few minutes, days ago."""
    for minute in range(MINUTES + 1):
        time_sent = SENT + timedelta(minutes=minute, hours=minute // MINUTES)
        record_predictions(batches=[make_batch(ROWS, ids=ids_of(minute), time=time_sent)], now=NOW)


def label(ids: list[str]) -> None:
    """Tell the truth of some rows."""
    record_feedback(items=[FeedbackItem(prediction_id=i, label="7") for i in ids])


def label_one_by_one(seed: int) -> None:
    """Label this writer's share, row after row and minute after minute: each finds its minute just rolled up."""
    for row in range(seed, ROWS, WRITERS):
        label([ids_of(minute)[row] for minute in range(MINUTES)])


def roll(stop: Event) -> None:
    """Add up again and again."""
    while not stop.is_set():
        roll_up_performance(now=NOW)


def counted() -> list[int]:
    """Return labelled rows, and how many rows of minutes are left."""
    rows = PerformanceWindow.objects.all()
    total = add_up([unpack_counts(bytes(row.counts)) for row in rows])
    return [total.labelled, rows.filter(resolution=60).count()]


def run_together(targets: list[tuple[Any, tuple[Any, ...]]]) -> list[Any]:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=target, args=args) for target, args in targets]
    for process in processes:
        process.start()
    return processes


def race() -> None:
    """Label while two clocks roll up."""
    stop = multiprocessing.get_context("fork").Event()
    connection.close()
    clocks = run_together([(roll, (stop,))] * CLOCKS)
    writers = run_together([(label_one_by_one, (seed,)) for seed in range(WRITERS)])
    for writer in writers:
        writer.join()
    stop.set()
    for clock in clocks:
        clock.join()
    assert [p.exitcode for p in (*clocks, *writers)] == [0] * (CLOCKS + WRITERS)


def roll_up_held(reached: Event) -> None:
    """Roll up, and stop a while between the counts being read and their minutes being deleted."""
    from monitoring.performance import rollup

    read = rollup._merge_counts

    def slow(parts: list[bytes]) -> bytes:
        merged = read(parts)
        reached.set()
        time.sleep(PATIENCE_S)
        return merged

    rollup._merge_counts = slow
    roll_up_performance(now=NOW)


def label_into_a_held_step() -> None:
    """A label comes after its minute's counts were read into the hour, before the minute is deleted."""
    ids = ids_of(MINUTES)
    label(ids[:HELD_ROWS])
    reached = multiprocessing.get_context("fork").Event()
    connection.close()
    [clock] = run_together([(roll_up_held, (reached,))])
    assert reached.wait(30)
    [late] = run_together([(label, (ids[HELD_ROWS:],))])
    for process in (clock, late):
        process.join()
    assert (clock.exitcode, late.exitcode) == (0, 0)


def finish() -> list[int]:
    close_old_connections()
    while roll_up_performance(now=NOW):
        pass
    return counted()


call_command("migrate", verbosity=0, skip_checks=True)
send()
race()
raced = finish()
label_into_a_held_step()
before = counted()[0]
print(json.dumps({"raced": raced, "held": before, "held_then_rolled_up": finish()}))
