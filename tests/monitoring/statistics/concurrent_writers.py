"""Run by a test: processes that send and label the same batches at once, the first one killed midway.

Each does as a replica does that repeats what it is unsure of. Prints the database's totals as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import random
from datetime import timedelta
from multiprocessing.connection import Connection

import django
from django.core.management import call_command
from django.db import connection
from django.db.models import Sum

django.setup()

from aiplatform.contracts.monitoring import FeedbackItem  # noqa: E402
from monitoring.feedback import join_pending_feedback, record_feedback  # noqa: E402
from monitoring.ingestion import record_predictions  # noqa: E402
from monitoring.models import PredictionBlock, Window  # noqa: E402
from monitoring.selectors import merge_profiles  # noqa: E402
from tests.monitoring.factories import NOW, make_batch  # noqa: E402

ROWS, BATCHES, WRITERS = 20, 30, 3


def write(seed: int, progress: Connection) -> None:
    """Send every batch in an order of its own, with labels for half of its rows."""
    order = list(range(BATCHES))
    random.Random(seed).shuffle(order)
    for number in order:
        ids = [f"p{number}-{i}" for i in range(ROWS)]
        time = NOW - timedelta(minutes=number % 3)
        batch = make_batch(ROWS, batch_id=f"b{number}", ids=ids, time=time, numeric={"size": range(ROWS)})
        record_feedback(items=[FeedbackItem(prediction_id=i, label="7") for i in ids[:10]])
        record_predictions(batches=[batch], now=NOW)
        progress.send(number)


def run_writers() -> list[int]:
    """Return the exit codes; the first writer is killed after its third batch."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(WRITERS)]
    writers = [context.Process(target=write, args=(seed, pipes[seed][1])) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    for _ in range(3):
        pipes[0][0].recv()
    writers[0].kill()
    for writer in writers:
        writer.join()
    return [writer.exitcode or 0 for writer in writers]


call_command("migrate", verbosity=0, skip_checks=True)
connection.close()
exits = run_writers()
join_pending_feedback()
totals = Window.objects.aggregate(rows=Sum("rows"), labelled=Sum("labelled"), correct=Sum("correct"))
sketched = merge_profiles(Window.objects.all()).features["size"].count
indexed = PredictionBlock.objects.aggregate(indexed=Sum("rows"))
print(json.dumps({**totals, **indexed, "sketched": sketched, "exits": exits}))
