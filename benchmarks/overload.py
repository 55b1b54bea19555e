"""Overload: four times what the platform can do, for a minute, and what becomes of every request.

    python -m benchmarks.overload
    python -m benchmarks.overload --seconds 20 --factor 8 --deadline-ms 500

The model is the classic CNN with many more filters, so that the engine is what is short, not the load
generator. First its capacity is measured; then requests are offered at a multiple of it, whether or not
earlier ones were answered; then the load falls back. Asked of the platform: accepted requests keep
their p99 under the deadline, all others are refused at once with 429 or 503, memory stays flat, and two
seconds after the end it is at full speed again.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.bodies import encode
from benchmarks.contenders import WORKERS, Conditions
from benchmarks.http_client import HttpLoad
from benchmarks.machine import describe_machine
from benchmarks.measure import check_target
from benchmarks.model import INPUT, OUTPUT, make_model
from benchmarks.ours import Platform
from benchmarks.outcomes import Outcomes, quantile

CONNECTIONS = 64
CAPACITY_S = 4.0
RECOVERY_S = 6.0
WINDOW_S = 0.5
DEADLINE_HEADER = "X-Request-Timeout-Ms"
AT_ONCE_MS = 100.0
FLAT_SHARE = 0.05
FULL_SPEED_SHARE = 0.9


@dataclass
class Finding:
    """What was measured."""

    capacity_per_s: float
    outcomes: Outcomes
    offered_s: float
    recovered_after_s: float | None
    generator_late_ms: float
    unsent: int
    memory_mb: list[float] = field(default_factory=list)


def main() -> None:
    """Run as told on the command line; the exit code is 1 if anything that is asked was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--seconds", type=float, default=60.0, help="how long the overload lasts")
    add("--factor", type=float, default=4.0, help="how many times the capacity is offered")
    add("--deadline-ms", type=int, default=1000)
    add("--width", type=int, default=8, help="multiplies the model's filters")
    add("--connections", type=int, default=1024, help="at most so many requests under way")
    add("--queue-rows", type=int, default=0, help="MAX_QUEUE_ROWS; 0: what is done in half of the deadline")
    add("--workers", type=int, default=WORKERS)
    add("--set", action="append", default=["MAX_BATCH_ROWS=8"], metavar="NAME=VALUE", help="a setting")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        finding = run(options, Path(scratch))
    missed = report(finding, options)
    sys.exit(1 if missed else 0)


def run(options: argparse.Namespace, scratch: Path) -> Finding:
    """Measure capacity, overload and recovery."""
    conditions = Conditions(model=scratch / "model", scratch=scratch, workers=options.workers)
    make_model(conditions.model, width=options.width)
    settings = dict(pair.split("=", 1) for pair in options.set)
    queue_rows = options.queue_rows
    if not queue_rows:
        with running(Platform(conditions, settings=settings, name="probe")) as probe:
            capacity = asyncio.run(measure_capacity(load_for(probe, conditions, options.deadline_ms)))
        queue_rows = max(1, int(capacity / options.workers * options.deadline_ms / 1000 / 2))
    settings["MAX_QUEUE_ROWS"] = str(queue_rows)
    print(f"MAX_QUEUE_ROWS={queue_rows}", flush=True)
    with running(Platform(conditions, settings=settings)) as platform:
        return asyncio.run(overload(platform, conditions, options))


async def overload(platform: Platform, conditions: Conditions, options: argparse.Namespace) -> Finding:
    """Offer too much for a time, then let the load fall back."""
    capacity = await measure_capacity(load_for(platform, conditions, options.deadline_ms))
    print(f"capacity {capacity:.0f} requests/s; now {options.factor:g} times that", flush=True)
    load = load_for(platform, conditions, options.deadline_ms).open(connections=options.connections)
    with watching_memory(platform) as memory_mb:
        began_s = time.monotonic()
        await load.offer(capacity * options.factor, options.seconds)
        ended_s = time.monotonic()
    rest = asyncio.ensure_future(load.finish())
    after = load_for(platform, conditions, options.deadline_ms)
    await after.run_closed(CONNECTIONS, lambda: time.monotonic() - ended_s >= RECOVERY_S)
    await rest
    return Finding(
        capacity_per_s=capacity,
        outcomes=load.outcomes,
        offered_s=ended_s - began_s,
        recovered_after_s=_recovered_after_s(after.outcomes, ended_s, capacity),
        generator_late_ms=load.late_s * 1000,
        unsent=load.unsent,
        memory_mb=memory_mb,
    )


async def measure_capacity(load: HttpLoad) -> float:
    """Return the rate of good answers at a load that leaves nothing idle."""
    began_s = time.monotonic()
    await load.run_closed(CONNECTIONS, lambda: time.monotonic() - began_s >= CAPACITY_S)
    return load.outcomes.good_between(began_s + 1.0, began_s + CAPACITY_S) / (CAPACITY_S - 1.0)


def load_for(platform: Platform, conditions: Conditions, deadline_ms: int) -> HttpLoad:
    """Return a load of single rows: binary if the platform takes that, else JSON."""
    with np.load(conditions.model / "samples.npz") as samples:
        rows, expected = samples[INPUT][:1], samples[OUTPUT][:1]
    wrong = ""
    for protocol in ("binary", "json"):
        target = platform.target(protocol)
        if target is None:
            continue
        body = encode(target.form, rows)
        wrong = check_target(target, body, expected)
        if not wrong:
            headers = {**target.headers_for(body), DEADLINE_HEADER: str(deadline_ms)}
            return HttpLoad(target.address, body.content, headers)
    sys.exit(f"the platform answers wrongly: {wrong}")


@contextmanager
def running(platform: Platform) -> Iterator[Platform]:
    """Have a platform run for a while."""
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@contextmanager
def watching_memory(platform: Platform, every_s: float = 1.0) -> Iterator[list[float]]:
    """Collect the memory of all its processes, in MB, while the block runs."""
    found: list[float] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(every_s):
            found.append(sum(server.memory_bytes() for server in platform.servers) / 1e6)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        is_over.set()
        watcher.join()


def report(finding: Finding, options: argparse.Namespace) -> list[str]:
    """Print what was found beside what is asked; return what was missed."""
    outcomes = finding.outcomes
    statuses = outcomes.statuses
    accepted, refused = outcomes.latencies_ms(), outcomes.latencies_ms(("429", "503"))
    others = {status: count for status, count in statuses.items() if status not in ("200", "429", "503")}
    growth = _growth(finding.memory_mb)
    recovered = finding.recovered_after_s
    took = f"{recovered:.1f} s" if recovered is not None else f"not within {RECOVERY_S:.0f} s"
    lines = [
        (
            f"accepted p99 {quantile(accepted, 0.99):.0f} ms (p50 {quantile(accepted, 0.5):.0f}), deadline "
            f"{options.deadline_ms} ms",
            bool(accepted) and quantile(accepted, 0.99) < options.deadline_ms,
        ),
        (
            f"refused {len(refused)}, p50 {quantile(refused, 0.5):.1f} ms, p99 {quantile(refused, 0.99):.1f} ms",
            bool(refused) and quantile(refused, 0.99) < AT_ONCE_MS,
        ),
        (f"neither accepted nor refused: {others or 'none'}{_when(outcomes, set(others))}", not others),
        (f"memory grew by {growth:.1%} of {max(finding.memory_mb, default=0):.0f} MB", growth < FLAT_SHARE),
        (f"full speed again after {took}", recovered is not None and recovered <= 2.0),
    ]
    print(f"machine: {describe_machine()}")
    print(f"the load generator was late by up to {finding.generator_late_ms:.0f} ms, which latencies include")
    print(f"not sent, for want of a free connection: {finding.unsent}")
    print(f"offered {len(outcomes.all) / finding.offered_s:.0f} requests/s for {finding.offered_s:.0f} s")
    print(f"answered with 200: {len(accepted) / finding.offered_s:.0f} requests/s, {dict(statuses)}")
    for text, is_met in lines:
        print(f"{'met   ' if is_met else 'MISSED'}  {text}")
    return [text for text, is_met in lines if not is_met]


def _when(outcomes: Outcomes, statuses: set[str]) -> str:
    """Say in which seconds, from the first request on, answers of a kind were asked for, and how many."""
    first_s = min((outcome.began_s for outcome in outcomes.all), default=0.0)
    seconds = Counter(int(outcome.began_s - first_s) for outcome in outcomes.all if outcome.status in statuses)
    return "".join(f", {count} in second {second}" for second, count in sorted(seconds.items()))


def _growth(memory_mb: list[float]) -> float:
    # From the second fifth, when queues have filled, to the last.
    fifth = len(memory_mb) // 5
    if not fifth:
        return 0.0
    early, late = memory_mb[fifth : 2 * fifth], memory_mb[-fifth:]
    return (sum(late) - sum(early)) / sum(early)


def _recovered_after_s(outcomes: Outcomes, ended_s: float, capacity: float) -> float | None:
    for number in range(int(RECOVERY_S / WINDOW_S)):
        begin_s = ended_s + number * WINDOW_S
        if outcomes.good_between(begin_s, begin_s + WINDOW_S) / WINDOW_S >= capacity * FULL_SPEED_SHARE:
            return number * WINDOW_S
    return None


if __name__ == "__main__":
    main()
