"""Two hundred queued runs while processes are killed at random: `python -m benchmarks.queue_chaos [--minutes 15]`.

Starts the platform (`manage.py serve` with the role training: HTTP, queue and clock), orders runs of a recipe that
costs nothing, and kills, freezes and ends trainers, members of the queue, the whole queue, the clock and the platform
itself, one every few seconds. Then it leaves them alone until all runs have ended, stops the platform, and asks:

- Has every run ended exactly once? Is no version written twice, and each one's artifact whole?
- Is no lease left, no doorbell, no process, no file of a write that was cut off?

The database is a SQLite file of its own, or the empty one that DATABASE_URL names. The code is 1 if any answer is no.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos_tree import Tree
from benchmarks.cheap_recipe import RECIPE, write_data
from benchmarks.machine import describe_machine
from benchmarks.processes import free_port

MODELS = 5
REST_S = 60.0  # until queue and trainers have nothing left to do
STOP_S = 30.0
START_S = 120.0


def main() -> int:
    """Run it all and print the verdict."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="queue-chaos-") as place:
        folder = Path(options.keep or place).absolute()
        env = _environment(folder, options.slots)
        os.environ.update(env)
        _set_up()
        _order(folder, options.runs)
        print(
            f"{describe_machine()}\n{options.runs} runs, {_vendor()}, {options.minutes:g} minutes of kills", flush=True
        )
        tree = Tree(env, folder / "serve.log")
        tree.start()
        try:
            tree.wait_until_up(within_s=START_S)
            _shoot(tree, options)
            faults = _rest(tree, options.drain)
        finally:
            left = tree.stop(within_s=STOP_S)
        faults += [f"still alive after the stop: {what}" for what in left]
        return _judge(faults, folder, tree)


def _shoot(tree: Tree, options: argparse.Namespace) -> None:
    dice = random.Random(options.seed)
    until_s = time.monotonic() + 60 * options.minutes
    told_s = time.monotonic()
    while time.monotonic() < until_s and _count_open():
        next_s = time.monotonic() + dice.expovariate(1 / options.every)
        while time.monotonic() < next_s:
            tree.tend()
            time.sleep(0.1)
        tree.shoot(dice)
        if time.monotonic() - told_s > 60:
            told_s = time.monotonic()
            print(f"  {sum(tree.hits.values())} hits, {_count_open()} runs have not ended", flush=True)
    tree.thaw_all()


def _rest(tree: Tree, minutes: float) -> list[str]:
    """Leave the platform alone until it has nothing to do; return what does not come to rest."""
    began_s = time.monotonic()
    _wait(lambda: not _count_open(), within_s=60 * minutes, tree=tree)
    print(f"  the last runs ended {time.monotonic() - began_s:.0f} s after the last hit", flush=True)
    if _count_open():
        return [f"{_count_open()} runs have not ended {minutes:g} minutes after the last hit"]
    _wait(lambda: not tree.orphans() and not _count_doorbells(), within_s=REST_S, tree=tree)
    faults = [f"at rest: {what}" for what in tree.orphans()]
    return faults + ([f"{_count_doorbells()} doorbells lie in the queue"] if _count_doorbells() else [])


def _wait(is_true: Callable[[], bool], *, within_s: float, tree: Tree) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_true() and time.monotonic() < deadline_s:
        tree.tend()
        time.sleep(0.5)


def _judge(faults: list[str], folder: Path, tree: Tree) -> int:
    from benchmarks import chaos_witness

    faults += chaos_witness.faults_of_runs()
    faults += chaos_witness.faults_of_versions()
    litter = chaos_witness.litter_in(folder / "data", folder / "artifacts", folder / "tmp")
    faults += [f"left on the disk: {path}" for path in litter]
    print(f"hits: {', '.join(f'{count} {what}' for what, count in sorted(tree.hits.items()))}")
    print(f"runs: {chaos_witness.summary()}")
    for fault in faults:
        print(f"FAULT {fault}")
    print("every run ended exactly once, and nothing is left" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


def _order(folder: Path, count: int) -> None:
    from training import services

    data = folder / "rows.npz"
    write_data(data)
    for number in range(count):
        services.create_run(
            services.RunOrder(
                recipe=RECIPE, data_uri=str(data), model_name=f"tally-{number % MODELS}", seed=number,
                parameters={"epochs": 3, "batch_size": 16, "step_s": 0.05},
            )
        )  # fmt: skip


def _count_open() -> int:
    from training.models import Run
    from training.states import ENDED_STATES

    return Run.objects.exclude(state__in=ENDED_STATES).count()


def _count_doorbells() -> int:
    from django_q.models import OrmQ

    return int(OrmQ.objects.count())


def _vendor() -> str:
    from django.db import connection

    return connection.vendor


def _set_up() -> None:
    import django
    from django.core.management import call_command

    from benchmarks import chaos_witness

    django.setup()
    call_command("migrate", verbosity=0)
    chaos_witness.install()


def _environment(folder: Path, slots: int) -> dict[str, str]:
    for name in ("data", "artifacts", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    secret = secrets.token_hex(32)
    ours = {
        "DATABASE_URL": os.environ.get("DATABASE_URL", f"sqlite:///{folder}/db.sqlite3"),
        "DATA_DIR": f"{folder}/data",
        "ARTIFACT_STORE": f"file://{folder}/artifacts",
        "TMPDIR": f"{folder}/tmp",
        "AIPLATFORM_ROLES": "training",
        "AIPLATFORM_DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "aiplatform.settings",
        "SECRET_KEY": secret,
        "INTERNAL_SECRETS": secret,
        "BIND": f"127.0.0.1:{free_port()}",
        "INFERENCE_URL": "http://127.0.0.1:9",  # nobody is asked: no run wants a deployment
        "MONITORING_URL": "http://127.0.0.1:9",
        "TRAINING_SLOTS": str(slots),
        "TRAINING_LEASE_S": "10",
        "TRAINING_STOP_GRACE_S": "6",
        "TRAINING_SUPERVISE_S": "1",
        "TRAINING_RING_AGAIN_S": "2",
        "LOG_LEVEL": "WARNING",
    }
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "USER") if name in os.environ}
    return {**kept, **ours}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=15.0, help="how long processes are killed")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two hits, on average")
    parser.add_argument("--drain", type=float, default=15.0, help="minutes until all runs must have ended after that")
    parser.add_argument("--slots", type=int, default=2, help="trainings at the same time")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of whom to hit")
    parser.add_argument("--keep", default="", help="a folder to work in that stays")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
