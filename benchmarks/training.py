"""What the platform costs over the bare framework: `python -m benchmarks.training --data MNIST_FOLDER [--rounds 3]`.

A script of a framework and nothing else (benchmarks/bare_training.py) and `manage.py train run` learn the same network
on the same rows, one after the other, in turns, each in a fresh process. Two things are asked of each round's pair:

- **the loop**, from the end of the first step to the last epoch's end (with the platform: to its checkpoint): wall time
  and processor time. The platform's processor time is that of the training process, its heartbeat and its reports, and
  of the command that watches it.
- **the start**, from the command to the end of the first step, less the same of the script, which imports its framework
  and reads its data in that time.

The bar is the median round's wall time. On a machine that does other work, look at the processor time. Below the
verdict, the start is told in parts, so that one sees which of them is over.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.marked_recipes import RECIPES, VARIABLE
from benchmarks.processes import own_cpu_s

ROOT = Path(__file__).resolve().parents[1]
MOST_OVERHEAD, MOST_START_S = 1.02, 1.0
LOOK_S = 0.1
# Parts of the start, each up to a moment that is marked.
PARTS = {
    "began": "the command, until its trainer begins",
    "reading": "imports, until the data is wanted",
    "read": "the data",
    "built": "the framework and the network",
    "first_step": "the first step",
}


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What one training took: seconds from the command to the first step's end, and of the loop after it."""

    start_s: float
    start_cpu_s: float
    loop_s: float
    loop_cpu_s: float
    watching_cpu_s: float = 0.0  # of the command, while the loop went on
    parts_s: Mapping[str, float] = field(default_factory=dict)  # of the start, by the names of PARTS


def main() -> int:
    """Measure in turns and print the verdict; 1 if the bar was missed."""
    options = _options()
    print(describe_machine())
    is_met = True
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        env = _environment(Path(folder))
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=env, check=True)
        for framework in options.frameworks:
            rounds = [_round(framework, options, env, Path(folder), number) for number in range(options.rounds)]
            is_met &= _tell(framework, rounds)
    return 0 if is_met else 1


def _round(
    framework: str, options: argparse.Namespace, env: Mapping[str, str], folder: Path, number: int
) -> tuple[Taken, Taken]:
    marks = folder / "marks.json"
    common = ["--seed", str(options.seed)]
    bare = [
        sys.executable, "benchmarks/bare_training.py", framework, str(options.data),
        "--epochs", str(options.epochs), "--marks", str(marks), *common,
    ]  # fmt: skip
    ours = [
        sys.executable, "manage.py", "train", "run", RECIPES[framework], "--data", str(options.data),
        "--name", f"bench-{framework}", "--set", f"epochs={options.epochs}", *common,
    ]  # fmt: skip
    pair = [("bare", bare), ("ours", ours)]
    taken = {}
    for name, command in pair if number % 2 == 0 else reversed(pair):
        taken[name] = _take(command, {**env, VARIABLE: str(marks)}, marks, folder / f"{framework}-{name}.log")
        print(f"  {framework} {number + 1} {name}: {_text(taken[name])}", flush=True)
    return taken["bare"], taken["ours"]


def _take(command: Sequence[str], env: Mapping[str, str], marks: Path, log: Path) -> Taken:
    """Run a command to its end.

    Raises: SystemExit with the end of its output if it fails.
    """
    marks.unlink(missing_ok=True)
    began_s = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(list(command), cwd=ROOT, env=dict(env), stdout=output, stderr=output)
    looks = [(time.monotonic(), 0.0)]
    while process.poll() is None:
        time.sleep(LOOK_S)
        looks.append((time.monotonic(), own_cpu_s(process.pid) or looks[-1][1]))
    if process.returncode:
        sys.exit(f"{' '.join(command[:5])} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    found = json.loads(marks.read_text())
    first_s, learned_s = found["first_step_s"], found["learned_s"]
    watching = _used(looks, learned_s) - _used(looks, first_s)
    is_ours = "manage.py" in command
    return Taken(
        start_s=first_s - began_s,
        start_cpu_s=found["first_step_cpu_s"] + (_used(looks, first_s) if is_ours else 0.0),
        loop_s=learned_s - first_s,
        loop_cpu_s=found["learned_cpu_s"] - found["first_step_cpu_s"],
        watching_cpu_s=watching if is_ours else 0.0,
        parts_s=parts_of(found, began_s),
    )


def parts_of(marks: Mapping[str, float], began_s: float) -> dict[str, float]:
    """Return how long each part of the start took, seconds; that of a bare script's command is no time at all."""
    moments = [began_s, *(marks[f"{name}_s"] for name in PARTS)]
    return {name: max(0.0, after - before) for name, before, after in zip(PARTS, moments, moments[1:], strict=False)}


def _used(looks: Sequence[tuple[float, float]], at_s: float) -> float:
    """Return the processor seconds that a process had used at a moment."""
    return max((cpu_s for moment_s, cpu_s in looks if moment_s <= at_s), default=0.0)


def _tell(framework: str, rounds: Sequence[tuple[Taken, Taken]]) -> bool:
    wall = [ours.loop_s / bare.loop_s for bare, ours in rounds]
    cpu = [(ours.loop_cpu_s + ours.watching_cpu_s) / bare.loop_cpu_s for bare, ours in rounds]
    learning = [ours.loop_cpu_s / bare.loop_cpu_s for bare, ours in rounds]
    start = [ours.start_s - bare.start_s for bare, ours in rounds]
    start_cpu = [ours.start_cpu_s - bare.start_cpu_s for bare, ours in rounds]
    print(f"{framework}, {len(rounds)} rounds: median, from least to greatest; the bar")
    _line("loop, wall time to the bare loop's", wall, f"at most {MOST_OVERHEAD}")
    _line("loop, processor time to the bare loop's", cpu, "")
    _line("   of the training process alone", learning, "")
    _line("start, seconds over the bare script's", start, f"at most {MOST_START_S:g}")
    _line("start, processor seconds over its", start_cpu, "")
    print("  parts of the start, median seconds            bare     ours     over")
    for name, title in PARTS.items():
        bare_s, ours_s = (statistics.median(pair[side].parts_s[name] for pair in rounds) for side in (0, 1))
        print(f"    {title:<40}{bare_s:>8.2f} {ours_s:>8.2f} {ours_s - bare_s:>8.2f}", flush=True)
    return statistics.median(wall) <= MOST_OVERHEAD and statistics.median(start) <= MOST_START_S


def _line(name: str, values: Sequence[float], bar: str) -> None:
    median = statistics.median(values)
    print(f"  {name:<42}{median:>8.3f}   {min(values):.3f} to {max(values):.3f}   {bar}".rstrip(), flush=True)


def _text(taken: Taken) -> str:
    watching = f", and {taken.watching_cpu_s:.2f} of the command" if taken.watching_cpu_s else ""
    loop = f"loop {taken.loop_s:.2f} s ({taken.loop_cpu_s:.2f} CPU{watching})"
    return f"start {taken.start_s:.2f} s ({taken.start_cpu_s:.2f} CPU), {loop}"


def _environment(folder: Path) -> dict[str, str]:
    secret = secrets.token_hex(32)
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "USER") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "DATA_DIR": str(folder / "data"),
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "SECRET_KEY": secret,
        "INTERNAL_SECRETS": secret,
        "LOG_LEVEL": "WARNING",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OMP_WAIT_POLICY": "PASSIVE",  # as the platform sets it for its trainers
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's four IDX files, gzipped")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frameworks", nargs="+", choices=sorted(RECIPES), default=sorted(RECIPES))
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
