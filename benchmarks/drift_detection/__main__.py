"""`python -m benchmarks.drift_detection`: see the package."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
os.environ.setdefault("AIPLATFORM_DEBUG", "1")

import django  # noqa: E402

django.setup()

from benchmarks.drift_detection.ours import judge  # noqa: E402
from benchmarks.drift_detection.scenarios import SOURCES, Rows, Scenario  # noqa: E402
from benchmarks.machine import describe_machine  # noqa: E402
from monitoring.selectors import drift_limits  # noqa: E402

PEERS = Path(__file__).resolve().parent / "peers"
NAMES = ("ours", "evidently", "nannyml")
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("ours", "drift: any feature, half of them, predictions", ("data", "dataset", "prediction")),
    ("ours", "embedding: a dimension, whole vectors", ("embedding", "vectors")),
    ("ours", "estimated, realised accuracy", ("estimate", "realised")),
    ("ours", "ADWIN, Page-Hinkley on features", ("adwin", "page_hinkley")),
    ("ours", "ADWIN, Page-Hinkley on accuracy", ("accuracy_adwin", "accuracy_page_hinkley")),
    ("evidently", "drift: any feature, half of them, predictions", ("data", "dataset", "prediction")),
    ("nannyml", "drift: any feature, multivariate, predictions", ("data", "dataset", "prediction")),
    ("nannyml", "estimated, realised accuracy", ("estimate", "accuracy")),
)


def main() -> None:
    """Run as told on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift_detection", description=__doc__)
    parser.add_argument("action", choices=("prepare", "install", "judge", "table"))
    parser.add_argument("name", nargs="?", choices=NAMES, default="ours")
    parser.add_argument("--data", type=Path, help="the folder of the data sets")
    parser.add_argument(
        "--only",
        default="",
        metavar="NAME",
        help=f"one of {', '.join(SOURCES)}; to judge, how the stream's folder begins",
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "drift-detection")
    parser.add_argument(
        "--seed", type=int, default=0, help="to prepare: of the split into parts and of the windows drawn"
    )
    options = parser.parse_args()
    actions = {"prepare": _prepare, "install": _install, "judge": _judge, "table": _table}
    actions[options.action](options)


def _prepare(options: argparse.Namespace) -> None:
    for name, make in SOURCES.items():
        if options.only in ("", name):
            for scenario in make(options.data / name, options.seed):
                _write(scenario, options.folder)
                print(scenario.name, len(scenario.windows), flush=True)


def _write(scenario: Scenario, root: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    folder = root / re.sub(r"[^a-z0-9]+", "-", scenario.name.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(_columns(scenario.reference)), folder / "reference.parquet")
    whole = [_columns(rows) | {"window": np.full(len(rows.truth), i)} for i, rows in enumerate(scenario.windows)]
    merged = {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}
    parquet.write_table(pa.table(merged), folder / "windows.parquet")
    (folder / "scenario.json").write_text(json.dumps({"name": scenario.name, "onset": scenario.onset}))
    said = judge(scenario, drift_limits())
    (folder / "ours.json").write_text(json.dumps({"said": {k: [bool(v) for v in some] for k, some in said.items()}}))


def _columns(rows: Rows) -> dict[str, Any]:
    scores = {f"p_{i}": rows.probabilities[:, i] for i in range(rows.probabilities.shape[1])}
    predicted = rows.probabilities.argmax(axis=1)
    said = {"predicted": predicted.astype(str), "confidence": rows.probabilities.max(axis=1)}
    return {**rows.features, **scores, **said, "truth": rows.truth.astype(str)}


def _install(options: argparse.Namespace) -> None:
    folder = options.folder / "env"
    venv.create(folder, with_pip=True)
    requirements = str(PEERS / "requirements.txt")
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", "-r", requirements], check=True)


def _judge(options: argparse.Namespace) -> None:
    """Ours are judged when windows are prepared; the others read them from files."""
    if options.name == "ours":
        sys.exit("ours are judged by `prepare`")
    python = options.folder / "env" / "bin" / "python"
    subprocess.run([python, PEERS / f"{options.name}.py", options.folder, options.only], check=True)


def _table(options: argparse.Namespace) -> None:
    print(f"{describe_machine()}, numpy {np.__version__}\n")
    scenarios = [
        json.loads(p.read_text()) | {"folder": p.parent} for p in sorted(options.folder.glob("*/scenario.json"))
    ]
    for peer in NAMES[1:]:
        for scenario in scenarios[:1]:
            path = scenario["folder"] / f"{peer}.json"
            print(json.loads(path.read_text())["versions"] if path.exists() else f"{peer}: not judged")
    clean = [s for s in scenarios if s["onset"] is None]
    drifts = [s for s in scenarios if s["onset"] is not None]
    for title, some, tell in (("per 100 clean windows", clean, _false_alarms), ("first alarm", drifts, _delay)):
        print(f"\n| {title} | " + " | ".join(f"{who}: {what}" for who, what, _ in GROUPS) + " |")
        print("|---|" + "---|" * len(GROUPS))
        for scenario in some:
            cells = [" / ".join(tell(scenario, who, method) for method in methods) for who, _, methods in GROUPS]
            print(f"| {scenario['name']} | " + " | ".join(cells) + " |")


def _said(scenario: dict[str, Any], who: str, method: str) -> list[bool] | None:
    path = scenario["folder"] / f"{who}.json"
    found: dict[str, list[bool]] = json.loads(path.read_text())["said"] if path.exists() else {}
    return found.get(method)


def _false_alarms(scenario: dict[str, Any], who: str, method: str) -> str:
    """Return alarms per 100 windows."""
    said = _said(scenario, who, method)
    return "-" if said is None else f"{100 * sum(said) / len(said):.3g}"


def _delay(scenario: dict[str, Any], who: str, method: str) -> str:
    """Return in which drifted window (from 1) the first alarm comes, and how many came before the drift."""
    said = _said(scenario, who, method)
    if said is None:
        return "-"
    onset = scenario["onset"]
    first = next((place for place, is_alarm in enumerate(said[onset:], 1) if is_alarm), None)
    before = sum(said[:onset])
    return ("never" if first is None else str(first)) + (f" ({before} before)" if before else "")


if __name__ == "__main__":
    main()
