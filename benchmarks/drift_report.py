"""What a drift report over 100 million predictions takes: windows of 90 days, then one comparison.

    python benchmarks/drift_report.py
    python benchmarks/drift_report.py --database postgres://user@host:port/name

100 million predictions cannot be sent in a benchmark's time, so windows are made as ingestion would
have made them: the sketches of their rows' values, merged, packed and saved. The rows of 400 minutes are
drawn; the minutes that retention keeps are copies of these, and the hours before them copies of 40 hours
that were merged from 60 such minutes each. The clock's own `roll_up_windows` makes hours and days of
them. Then the drift of several periods is asked for, each in a fresh connection, several times. The
database is a fresh one in a temporary folder, or one that you name, which must be empty.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "datasketches", "Django")
DAYS = 90
NUMBERS, CATEGORIES = 16, 4
MODELS = 400  # different minutes
HOURS = 40  # different hours
BATCHES = 6  # merged into a minute, as ingestion does
REPEATS = 5


def main() -> None:
    """Run as told on the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=100_000_000)
    parser.add_argument("--database", default="", help="address of an empty database (default: SQLite)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        _set_up(Path(name), options.database)
        rows = options.predictions // (DAYS * 1440)
        now = datetime.now(UTC)
        started = time.perf_counter()
        served = fill(rows, now)
        print(f"{DAYS} days of {rows} predictions a minute, {NUMBERS} numbers and {CATEGORIES} categories;", end=" ")
        print(f"filled in {time.perf_counter() - started:.0f} s")
        print_sizes()
        print_reports(served, now)
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    print(f"\n{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")


def _set_up(folder: Path, database: str) -> None:
    os.environ.update(
        DJANGO_SETTINGS_MODULE="aiplatform.settings", AIPLATFORM_DEBUG="1", DATA_DIR=str(folder),
        AIPLATFORM_ROLES="monitoring", DATABASE_URL=database or f"sqlite:///{folder}/db.sqlite3", LOG_LEVEL="ERROR",
    )  # fmt: skip
    sys.path.insert(0, str(ROOT))
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, skip_checks=True)


def draw(random: Any, rows: int, *, shift: float = 0.0) -> dict[str, Any]:
    """Return columns of features: numbers of several kinds, categories of few and of many values."""
    import numpy as np

    kinds = (random.normal, random.exponential, random.lognormal, random.gumbel)
    columns = {f"number {i}": kinds[i % 4](size=rows) + shift * (i == 0) for i in range(NUMBERS)}
    for i in range(CATEGORIES):
        columns[f"category {i}"] = random.zipf(1.5, rows).clip(max=(5, 40, 500, 10**6)[i]).astype(str).astype(object)
    return {name: np.asarray(values) for name, values in columns.items()}


def make_minute(random: Any, rows: int) -> Any:
    """Return a minute's content, merged from BATCHES batches."""
    from aiplatform.profiles import CategoryProfile, DataProfile, NumericProfile
    from monitoring.latencies import add_latencies
    from monitoring.windows import WindowContent

    content = WindowContent()
    for part in range(BATCHES):
        size = rows // BATCHES + (part < rows % BATCHES)
        profile = DataProfile(rows=size)
        for name, values in draw(random, size).items():
            column: Any = CategoryProfile() if values.dtype == object else NumericProfile.for_window()
            column.update(values.tolist() if values.dtype == object else values)
            profile.features[name] = column
        batch = WindowContent(rows=size, requests=size, profile=profile)
        add_latencies(batch.latency, random.gamma(2.0, size=size))
        content.merge(batch)
    return content


def fill(rows: int, now: datetime) -> Any:
    """Fill the days before now and let the clock do its work; return the served version."""
    import numpy as np

    from aiplatform.profiles import DataProfile
    from monitoring.cover import Horizons
    from monitoring.models import Baseline, ServedVersion
    from monitoring.rollup import roll_up_windows

    random = np.random.default_rng(1)
    baseline = DataProfile()
    baseline.update(draw(random, 50_000, shift=0.3))
    Baseline.objects.create(artifact_digest="sha256:1", state="ready", profile=baseline.to_dict(), checked_at=now)
    served = ServedVersion.objects.create(
        endpoint="e", model="m", version=1, artifact_uri="", artifact_digest="sha256:1",
        first_seen_at=now, last_seen_at=now,
    )  # fmt: skip
    minutes = [_window(make_minute(random, rows)) for _ in range(MODELS)]
    hours = [_window(_merge([minutes[i] for i in random.integers(0, MODELS, 60)])) for _ in range(HOURS)]
    horizon = Horizons.at(now).minutes
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    _copy(served, hours, _times(first, horizon, 3600), 3600, random)
    _copy(served, minutes, _times(horizon, now, 60), 60, random)
    while roll_up_windows(now=now):
        pass
    return served


def _times(start: datetime, end: datetime, step_s: int) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(seconds=step_s)


def _window(content: Any) -> Any:
    from monitoring.models import Window

    window = Window()
    content.write_to(window)
    return window


def _merge(windows: list[Any]) -> Any:
    from monitoring.windows import WindowContent

    merged = WindowContent()
    for window in windows:
        merged.merge(WindowContent.read_from(window))
    return merged


def _copy(served: Any, models: list[Any], starts: Iterator[datetime], resolution: int, random: Any) -> None:
    from monitoring.models import Window

    made = []
    for start in starts:
        model = models[random.integers(len(models))]
        made.append(
            Window(
                served=served, start=start, resolution=resolution, rows=model.rows, requests=model.requests,
                latency=model.latency, sketches=model.sketches,
            )
        )  # fmt: skip
    Window.objects.bulk_create(made, batch_size=200)


def print_sizes() -> None:
    """Print how many windows there are and what they take."""
    from django.db.models import Avg, Count, Sum
    from django.db.models.functions import Length

    from monitoring.models import Window

    found = Window.objects.order_by("resolution").values("resolution").annotate(
        windows=Count("pk"), rows=Sum("rows"), size=Avg(Length("sketches"))
    )  # fmt: skip
    print(f"\n{'windows of':>12s} {'windows':>9s} {'predictions':>13s} {'bytes a feature':>16s}")
    for row in found:
        size = row["size"] / (NUMBERS + CATEGORIES)
        print(f"{row['resolution']:>10d} s {row['windows']:>9d} {row['rows']:>13d} {size:>16.0f}")


def print_reports(served: Any, now: datetime) -> None:
    """Print the time of the drift of several periods, and what it found."""
    from django.db import connection

    from monitoring.baselines import load_baseline
    from monitoring.selectors import Period, get_drift, get_totals, list_windows, merge_profiles

    load_baseline(served)  # as the gauges have, long before a report
    print(f"\n{'period':>10s} {'windows':>8s} {'predictions':>13s} {'median, ms':>11s} {'worst, ms':>10s}  drifted")
    for name, days in (("1 hour", 1 / 24), ("1 day", 1), ("7 days", 7), ("30 days", 30), (f"{DAYS} days", DAYS)):
        took = []
        for _ in range(REPEATS):
            connection.close()
            started = time.perf_counter()
            windows = list_windows("e", 1, Period.last(days * 86400, now=now))
            totals = get_totals(windows)
            table = get_drift(served, merge_profiles(windows))
            took.append((time.perf_counter() - started) * 1000)
        drifted = ", ".join(column.column for column in table.features if column.verdict == "drifted")
        print(f"{name:>10s} {windows.count():>8d} {totals.rows:>13d} {statistics.median(took):>11.0f}", end=" ")
        print(f"{max(took):>10.0f}  {drifted or '-'}")


if __name__ == "__main__":
    main()
