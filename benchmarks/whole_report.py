"""What a whole report takes over 100 million predictions: document, page and file, of several periods.

    python -m benchmarks.whole_report

The windows are those of drift_report.py; each report is made in a fresh connection, several times. The CPU time
is the whole process's: on a busy machine it says more than the time on the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.drift_report import DAYS, REPEATS, _set_up, fill
from benchmarks.machine import describe_machine


def main() -> None:
    """Run as told on the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=100_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        _set_up(Path(name), "")
        now = datetime.now(UTC)
        served = fill(options.predictions // (DAYS * 1440), now)
        print_reports(served, now)


def print_reports(served: Any, now: datetime) -> None:
    """Print how long each period's report takes, and how large its file is."""
    from monitoring.baselines import load_baseline
    from monitoring.reports.document import encode_report
    from monitoring.reports.html import report_html
    from monitoring.reports.report import build_report

    load_baseline(served)
    print(describe_machine())
    heads = f"{'report, ms':>11s} {'CPU, ms':>8s} {'file, ms':>9s} {'CPU, ms':>8s} {'JSON, kB':>9s} {'HTML, kB':>9s}"
    print(f"{'period':>10s} {'predictions':>13s} {heads}")
    for name, days in (("1 hour", 1 / 24), ("1 day", 1), ("7 days", 7), ("30 days", 30), (f"{DAYS} days", DAYS)):
        period_s = days * 86_400
        made, report_ms, report_cpu_ms = _time(
            partial(build_report, endpoint="e", version=1, period_s=period_s, now=now)
        )
        html, file_ms, file_cpu_ms = _time(partial(report_html, made))
        print(
            f"{name:>10s} {made.traffic.predictions:>13,} {report_ms:>11.0f} {report_cpu_ms:>8.0f} {file_ms:>9.0f} "
            f"{file_cpu_ms:>8.0f} {len(encode_report(made)) / 1000:>9.0f} {len(html) / 1000:>9.0f}",
            flush=True,
        )


def _time(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what came of it, and the medians of milliseconds on the clock and of the processor."""
    from django.db import connection

    took, cpu = [], []
    for _ in range(REPEATS):
        connection.close()
        started, started_cpu = time.perf_counter(), time.process_time()
        found = work()
        took.append((time.perf_counter() - started) * 1000)
        cpu.append((time.process_time() - started_cpu) * 1000)
    return found, statistics.median(took), statistics.median(cpu)


if __name__ == "__main__":
    main()
