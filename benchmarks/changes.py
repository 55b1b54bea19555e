"""Changes under load: new versions, new weights, new workers, and not one failed request.

    python -m benchmarks.changes                              each change under 64 connections
    python -m benchmarks.changes --models 24 --changes 1000   also memory, over so many changes of version

The load knows what became of each request (benchmarks/http_client.py); a connection that the
server closes while a request is under way on it counts as a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import WORKERS, Conditions
from benchmarks.http_client import HttpLoad
from benchmarks.machine import describe_machine
from benchmarks.model import NAME, make_model
from benchmarks.ours import NATIVE, Platform
from benchmarks.outcomes import quantile
from benchmarks.overload import load_for, running
from benchmarks.processes import ServerError

DEADLINE_MS = 30_000
WITHIN_S = 60.0
GROWTH_SHARE = 0.05
ANSWERS_BETWEEN_S = 1.0


@dataclass(frozen=True)
class Change:
    """Something that happens while requests come in."""

    title: str
    order: Callable[[Platform], None]


CHANGES = (
    Change("version 1 to 2", lambda platform: platform.set_traffic(NAME, {2: 100})),
    Change("version 2 to 1", lambda platform: platform.set_traffic(NAME, {1: 100})),
    Change("weights 50:50", lambda platform: platform.set_traffic(NAME, {1: 50, 2: 50})),
    Change("weights 90:10", lambda platform: platform.set_traffic(NAME, {1: 90, 2: 10})),
    Change("all workers restarted (SIGHUP)", lambda platform: platform.restart_workers()),
    Change("one worker ended (SIGTERM)", lambda platform: platform.end_one_worker()),
)


def main() -> None:
    """Run as told on the command line; the exit code is 1 if a request failed or memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--connections", type=int, default=64)
    add("--rest", type=float, default=2.0, help="seconds of load after each change")
    add("--models", type=int, default=0, help="so many endpoints for the memory part; 0: without it")
    add("--changes", type=int, default=1000, help="changes of version in the memory part")
    add("--longest", type=float, default=900.0, help="seconds after which the memory part ends")
    add("--workers", type=int, default=WORKERS)
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    options = parser.parse_args()
    print(f"machine: {describe_machine()}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        conditions = Conditions(model=Path(scratch) / "model", scratch=Path(scratch), workers=options.workers)
        make_model(conditions.model)
        failed = change_under_load(conditions, options)
        grown = change_many(conditions, options) if options.models else False
    sys.exit(1 if failed or grown else 0)


def change_under_load(conditions: Conditions, options: argparse.Namespace) -> int:
    """Make every change under load; return how many requests failed."""
    settings = dict(pair.split("=", 1) for pair in options.set)
    failed = 0
    with running(Platform(conditions, settings=settings, versions=2)) as platform:
        for change in CHANGES:
            load = load_for(platform, conditions, DEADLINE_MS)
            took_s = asyncio.run(_change(platform, change, load, options))
            failed += load.outcomes.failures
            print(_line(change, load, took_s), flush=True)
    print(f"failed requests: {failed}")
    return failed


def change_many(conditions: Conditions, options: argparse.Namespace) -> bool:
    """Change the versions of many endpoints many times; say whether memory grew."""
    settings = {"RECONCILE_INTERVAL_S": "0.2", **NATIVE, **dict(pair.split("=", 1) for pair in options.set)}
    models = [f"{NAME}-{number}" for number in range(options.models)]
    memory_mb: list[float] = []
    done = 0
    with running(Platform(conditions, settings=settings, models=models, versions=2, name="many")) as platform:
        began_s = time.monotonic()
        while done < options.changes and time.monotonic() - began_s < options.longest:
            version = 2 if len(memory_mb) % 2 == 0 else 1
            for model in models:
                platform.set_traffic(model, {version: 100})
            for model in models:
                _wait_until_current(platform, model)
            done += len(models)
            memory_mb.append(sum(server.memory_bytes() for server in platform.servers) / 1e6)
            print(f"{done:5} changes  {time.monotonic() - began_s:6.0f} s  {memory_mb[-1]:7.0f} MB", flush=True)
    growth = _growth(memory_mb)
    print(f"{options.models} models, {done} changes: memory grew by {growth:.1%} from the second quarter to the last")
    return growth > GROWTH_SHARE


async def _change(platform: Platform, change: Change, load: HttpLoad, options: argparse.Namespace) -> float:
    until_s = [float("inf")]
    running_load = asyncio.ensure_future(load.run_closed(options.connections, lambda: time.monotonic() >= until_s[0]))
    await asyncio.sleep(ANSWERS_BETWEEN_S)
    began_s = time.monotonic()
    await asyncio.to_thread(change.order, platform)
    await asyncio.sleep(ANSWERS_BETWEEN_S)
    await asyncio.to_thread(_wait_until_current, platform, NAME)
    took_s = time.monotonic() - began_s
    until_s[0] = time.monotonic() + options.rest
    await running_load
    return took_s


def _wait_until_current(platform: Platform, model: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not platform.is_current(model):
        if time.monotonic() > deadline_s:
            raise ServerError(f"{model} is not served as ordered within {WITHIN_S:.0f} s")
        time.sleep(0.1)


def _line(change: Change, load: HttpLoad, took_s: float) -> str:
    outcomes = load.outcomes
    latencies = outcomes.latencies_ms()
    versions = dict(sorted(Counter(o.version for o in outcomes.all if o.version).items()))
    wrong = {status: count for status, count in outcomes.statuses.items() if status != "200"}
    return (
        f"{change.title:32} {took_s:5.1f} s  {len(outcomes.all):7} requests  {outcomes.failures:4} failed {wrong or ''}"
        f"  p99 {quantile(latencies, 0.99):.0f} ms, longest {max(latencies, default=0):.0f} ms  versions {versions}"
    )


def _growth(memory_mb: list[float]) -> float:
    quarter = len(memory_mb) // 4
    if not quarter:
        return 0.0
    early, late = memory_mb[quarter : 2 * quarter], memory_mb[-quarter:]
    return (sum(late) - sum(early)) / sum(early)


if __name__ == "__main__":
    main()
