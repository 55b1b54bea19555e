"""Run by a test: clocks that roll up while others send and label; the first clock is killed midway.

Prints the database's totals by resolution, as a period reads them, as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Event

import django
from django.core.management import call_command
from django.db import connection
from django.db.models import Sum

django.setup()

from aiplatform.contracts.monitoring import FeedbackItem  # noqa: E402
from monitoring.feedback import record_feedback  # noqa: E402
from monitoring.ingestion import record_predictions  # noqa: E402
from monitoring.models import Window  # noqa: E402
from monitoring.rollup import roll_up_windows  # noqa: E402
from monitoring.selectors import Period, get_totals, list_windows, merge_profiles  # noqa: E402
from tests.monitoring.factories import NOW, make_batch  # noqa: E402

ROWS, BATCHES, WRITERS, CLOCKS = 20, 40, 2, 2
HOURS = 30  # over which the batches' times spread, all of them past


def write(seed: int) -> None:
    """Send and label this writer's share of the batches, in an order of its own."""
    order = list(range(seed, BATCHES, WRITERS))
    random.Random(seed).shuffle(order)
    for number in order:
        ids = [f"p{number}-{i}" for i in range(ROWS)]
        sent = NOW - timedelta(days=3) + timedelta(hours=number % HOURS, minutes=number % 2)
        batch = make_batch(ROWS, batch_id=f"b{number}", ids=ids, time=sent, numeric={"size": range(ROWS)})
        record_predictions(batches=[batch], now=NOW)
        record_feedback(items=[FeedbackItem(prediction_id=i, label="7") for i in ids[:10]])


def roll(stop: Event, progress: Connection) -> None:
    """Roll up again and again."""
    while not stop.is_set():
        progress.send(roll_up_windows(now=NOW))


def run() -> list[int]:
    """Return the exit codes of the processes; the first clock is killed while both of them roll up."""
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    pipes = [context.Pipe() for _ in range(CLOCKS)]
    clocks = [context.Process(target=roll, args=(stop, pipe[1])) for pipe in pipes]
    writers = [context.Process(target=write, args=(seed,)) for seed in range(WRITERS)]
    for process in (*clocks, *writers):
        process.start()
    ends = [pipe[0] for pipe in pipes]
    while not any(end.recv() for end in ends if end in wait(ends)):  # either may take all that there is
        pass
    time.sleep(0.05)
    clocks[0].kill()
    for writer in writers:
        writer.join()
    stop.set()
    while clocks[1].is_alive():  # its pipe must not fill
        if ends[1].poll(0.1):
            ends[1].recv()
    return [process.exitcode or 0 for process in (*clocks, *writers)]


call_command("migrate", verbosity=0, skip_checks=True)
connection.close()
exits = run()
while roll_up_windows(now=NOW):
    pass
everything = Period(start=NOW - timedelta(days=10), end=NOW)
found = get_totals(list_windows("digits", 1, everything))
by_resolution = {
    str(row["resolution"]): [row["rows"], row["labelled"]]
    for row in Window.objects.order_by().values("resolution").annotate(rows=Sum("rows"), labelled=Sum("labelled"))
}
sketched = merge_profiles(list_windows("digits", 1, everything)).features["size"].count
print(json.dumps({"by_resolution": by_resolution, "read": [found.rows, found.labelled, found.correct],
                  "sketched": sketched, "exits": exits}))  # fmt: skip
