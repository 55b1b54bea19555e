"""How fast the pages of runs are when there are many: `python -m benchmarks.many_runs [--runs 10000] [--epochs 100]`.

Fills a database (DATABASE_URL, which must be an empty one, or a SQLite file of its own) with runs of five metrics an
epoch, and asks for each page in this process, through all middleware: what is measured is the server's time, without a
socket. 10,000 runs of 100 epochs are five million points; the newest run alone has 10,000 epochs more, the next 50 have
been measured for hours, and every third has become a version. `--filled` asks a database that was filled before.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from benchmarks.machine import describe_machine

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
LIMIT_MS = 300.0
REPEATS = 7
RUNS_AT_ONCE = 100
LONG_EPOCHS = 10_000  # of the newest run
MEASURED_RUNS, USAGE_POINTS = 50, 240
MODELS = 40


def main() -> int:
    """Fill, ask, print a table; 1 if a page took longer than the limit."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="many-runs-") as folder:
        _set_up(folder)
        if not options.filled:
            print(f"filled in {_timed(lambda: fill(options.runs, options.epochs)):.0f} s")
        print(f"{describe_machine()}\n{_contents()}")
        print(f"{'page':<34}{'least ms':>9}{'median':>8}{'CPU ms':>8}{'kB':>7}")
        is_fast = True
        for name, ask in pages().items():
            took_ms, cpu_ms, size = measure(ask)
            median_ms = statistics.median(took_ms)
            is_fast &= median_ms <= LIMIT_MS
            print(f"{name:<34}{min(took_ms):>9.0f}{median_ms:>8.0f}{cpu_ms:>8.0f}{size / 1000:>7.0f}", flush=True)
    return 0 if is_fast else 1


def fill(runs: int, epochs: int) -> None:
    """Write runs with tags, curves, confusion matrices, measurements and versions."""
    from django.utils import timezone

    from training.models import RegisteredModel

    dice, now = random.Random(1), timezone.now()
    models = [RegisteredModel(name=f"model-{number}", last_version=runs) for number in range(MODELS)]
    RegisteredModel.objects.bulk_create(models)
    for start in range(0, runs, RUNS_AT_ONCE):
        made = [_run(dice, now - timedelta(minutes=start + i)) for i in range(min(RUNS_AT_ONCE, runs - start))]
        _write_runs(dice, made, {model.name: model for model in models}, start)
        lengths = [epochs + (LONG_EPOCHS if start == 0 and place == 0 else 0) for place in range(len(made))]
        _write_epochs(dice, made, lengths)
        if start < MEASURED_RUNS:
            _write_usage(dice, made[:MEASURED_RUNS])


def _write_runs(dice: random.Random, made: list[Any], models: dict[str, Any], start: int) -> None:
    from training.models import ModelVersion, Run, RunEvaluation, RunTag
    from training.states import RunState, VersionState

    Run.objects.bulk_create(made)
    RunTag.objects.bulk_create([RunTag(run=run, name=f"team-{dice.randrange(20)}") for run in made])
    matrix = [[dice.randrange(100) for _ in range(10)] for _ in range(10)]
    labels = [str(label) for label in range(10)]
    RunEvaluation.objects.bulk_create(
        [RunEvaluation(run=run, labels=labels, confusion_matrix=matrix, metrics={"accuracy": 0.9}) for run in made]
    )
    manifest = {"labels": labels, "lineage": {"run_id": "", "parameters": dict.fromkeys("abcdefghijkl", 1.5)}}
    ModelVersion.objects.bulk_create(
        [
            ModelVersion(
                model=models[run.model_name], version=start + place + 1, state=VersionState.READY, run=run,
                artifact_uri=f"file:///nowhere/{run.pk}", manifest=manifest, metrics={"accuracy": dice.random()},
            )
            for place, run in enumerate(made)
            if run.state == RunState.SUCCEEDED
        ]
    )  # fmt: skip


def _write_epochs(dice: random.Random, made: list[Any], lengths: list[int]) -> None:
    from training.models import EpochMetrics

    EpochMetrics.objects.bulk_create(
        [
            EpochMetrics(run=run, epoch=epoch, values={name: dice.random() / epoch for name in METRICS})
            for run, length in zip(made, lengths, strict=True)
            for epoch in range(1, length + 1)
        ],
        batch_size=5000,
    )


def _write_usage(dice: random.Random, made: list[Any]) -> None:
    from training.models import RunUsage

    points = [[1.7e9 + 60 * i, dice.random(), 1e9 * dice.random(), None, None] for i in range(USAGE_POINTS)]
    RunUsage.objects.bulk_create([RunUsage(run=run, points=points, interval_s=60) for run in made])


def pages() -> dict[str, Callable[[], Any]]:
    """Return each page by its name, as a call that answers it."""
    from django.contrib.auth import get_user_model
    from django.test import Client
    from rest_framework.test import APIClient

    from aiplatform.http.authentication import IdentityUser
    from aiplatform.identity import Identity, Scope
    from training.models import Run

    console, api = Client(), APIClient()
    user, _ = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_superuser": True, "is_staff": True}
    )
    console.force_login(user)
    identity = Identity(username="bench", scopes=frozenset({Scope.TRAIN}))
    api.force_authenticate(user=IdentityUser(identity), token=identity)  # type: ignore[arg-type]
    last = max(1, Run.objects.count() // 50)
    newest = list(Run.objects.all()[:9])
    ids = [str(run.pk) for run in newest]
    (long, one), several, with_long = ids[:2], ",".join(ids[1:9]), ",".join(ids[:8])
    since = (newest[0].created_at - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {
        "console: list of runs": (console, "/admin/training/run/"),
        "console: list, one state": (console, "/admin/training/run/?state__exact=failed"),
        "console: list, one tag": (console, "/admin/training/run/?tag=team-3"),
        "console: list, last page": (console, f"/admin/training/run/?p={last}"),
        "console: list, three filters": (
            console,
            "/admin/training/run/?state__exact=succeeded&recipe=keras_cnn&model_name=model-3",
        ),
        "console: list, by state": (console, "/admin/training/run/?o=2"),
        "console: list, by model, deep": (console, f"/admin/training/run/?o=5&p={min(9, last // 2)}"),
        "console: search for a model": (console, "/admin/training/run/?q=model-17"),
        "console: search for an id": (console, f"/admin/training/run/?q={one[:8]}"),
        "console: search for three words": (console, "/admin/training/run/?q=keras+digits+model-3"),
        "console: search, nothing found": (console, "/admin/training/run/?q=nobody-knows-it"),
        "console: models": (console, "/admin/training/registeredmodel/"),
        "console: versions": (console, "/admin/training/modelversion/"),
        "console: search for a version": (console, "/admin/training/modelversion/?q=model-17"),
        "console: home": (console, "/admin/"),
        "console: a run with its curves": (console, f"/admin/training/run/{one}/change/"),
        "console: its moving part": (console, f"/admin/training/run/{one}/live/"),
        "console: a run of 10,000 epochs": (console, f"/admin/training/run/{long}/change/"),
        "console: 8 runs, one of them long": (console, f"/admin/training/run/compare/?runs={with_long}"),
        "console: 8 runs compared": (console, f"/admin/training/run/compare/?runs={several}"),
        "REST: list of runs": (api, "/api/training/runs/"),
        "REST: list, one tag": (api, "/api/training/runs/?tag=team-3"),
        "REST: list, filtered": (api, f"/api/training/runs/?state=succeeded&recipe=keras_cnn&created_after={since}"),
        "REST: list, by end, last page": (api, f"/api/training/runs/?ordering=ended_at&page={last}&page_size=50"),
        "REST: models": (api, "/api/training/models/"),
        "REST: versions of a model": (api, "/api/training/models/model-17/versions/"),
        "REST: metrics of 10,000 epochs": (api, f"/api/training/runs/{long}/metrics/"),
        "REST: 500 of its points": (api, f"/api/training/runs/{long}/metrics/?points=500"),
        "REST: 8 runs, one of them long": (api, f"/api/training/runs/compare/?runs={with_long}"),
        "REST: metrics of a run": (api, f"/api/training/runs/{one}/metrics/"),
        "REST: 8 runs compared": (api, f"/api/training/runs/compare/?runs={several}"),
    }
    return {name: _asker(client, url) for name, (client, url) in asked.items()}


def measure(ask: Callable[[], Any]) -> tuple[list[float], float, int]:
    """Return the times of some calls in ms, after one that warms up, their mean of CPU time, and the answer's bytes.

    On a machine that does other work, the time is what this process waited too; CPU time is its own.
    """
    answer = ask()
    assert answer.status_code == 200, f"{answer.status_code}: {answer.content[:300]!r}"
    began_s = time.process_time()
    took_ms = [1000 * _timed(ask) for _ in range(REPEATS)]
    return took_ms, 1000 * (time.process_time() - began_s) / REPEATS, len(answer.content)


def _asker(client: Any, url: str) -> Callable[[], Any]:
    return lambda: client.get(url)


def _run(dice: random.Random, at: Any) -> Any:
    from training.models import Run
    from training.states import ENDED_STATES

    parameters = {"epochs": 100, "batch_size": dice.choice((16, 32, 64)), "learning_rate": dice.random() / 100}
    return Run(
        recipe=dice.choice(("keras_cnn", "torch_cnn", "keras_tabular")), data_uri="digits", seed=dice.randrange(9),
        model_name=f"model-{dice.randrange(MODELS)}", state=dice.choice(ENDED_STATES), parameters=parameters,
        created_at=at, started_at=at, ended_at=at + timedelta(minutes=5),
    )  # fmt: skip


def _set_up(folder: str) -> None:
    os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/db.sqlite3")
    os.environ.update(DATA_DIR=folder, AIPLATFORM_DEBUG="0", LOG_LEVEL="ERROR", ALLOWED_HOSTS="*")
    os.environ.setdefault("SECRET_KEY", "benchmark")
    os.environ.setdefault("INTERNAL_SECRETS", "a-secret-of-at-least-32-characters-for-benchmarks")
    os.environ["DJANGO_SETTINGS_MODULE"] = "aiplatform.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _contents() -> str:
    from django.db import connection

    from training.models import EpochMetrics, ModelVersion, Run

    points = EpochMetrics.objects.count() * len(METRICS)
    return (
        f"{Run.objects.count():,} runs, {points:,} metric points, {ModelVersion.objects.count():,} versions, "
        f"{connection.vendor}"
    )


def _timed(work: Callable[[], Any]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--filled", action="store_true", help="DATABASE_URL is of an earlier run of this")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
