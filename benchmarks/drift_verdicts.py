"""How often drift is seen where there is none, and how often where there is a little.

    python benchmarks/drift_verdicts.py
    python benchmarks/drift_verdicts.py --windows 2000 --seed 2

Baselines and windows are drawn anew each time from 21 distributions (normal, heavy tails, discrete,
tied, constant, with missing values; categories few, many, and all different), one feature each.
Windows are made as ingestion makes them: merged from batches, packed, read again. First nothing has
changed: every verdict is a false alarm. Then one feature of the 21 has changed a little. The verdicts
are those at the default settings.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
os.environ.setdefault("AIPLATFORM_DEBUG", "1")

import django  # noqa: E402

django.setup()

from aiplatform.profiles import CategoryProfile, DataProfile, NumericProfile  # noqa: E402
from monitoring.drift.results import DriftLimits, Verdict  # noqa: E402
from monitoring.drift.table import compare_profiles  # noqa: E402
from monitoring.packing import pack_profile, unpack_profile  # noqa: E402
from monitoring.windows import union_profiles  # noqa: E402

Columns = dict[str, Any]
Draw = Callable[[Any, int], Any]
BASELINES = (300, 1000, 5000, 50_000)
WINDOWS = (100, 200, 500, 1000, 2000, 5000)
HOUR = 60  # windows of 500 rows, read together
ZIPF = 1 / np.arange(1, 5001) ** 1.1
DOZEN = np.array([2.0**-i for i in range(1, 13)] + [2.0**-12])
LIMITS = DriftLimits()

NUMBERS: dict[str, Draw] = {
    "normal": lambda r, n: r.normal(size=n),
    "cauchy": lambda r, n: r.standard_cauchy(n),
    "lognormal": lambda r, n: r.lognormal(0, 2, n),
    "exponential": lambda r, n: r.exponential(size=n),
    "uniform": lambda r, n: r.random(n),
    "poisson": lambda r, n: r.poisson(3, n).astype(float),
    "binary": lambda r, n: (r.random(n) < 0.1).astype(float),
    "constant": lambda _, n: np.full(n, 0.1),
    "two humps": lambda r, n: r.normal(r.choice([-3, 3], n), 0.5),
    "mostly zero": lambda r, n: r.binomial(1, 0.1, n) * r.random(n),
    "missing": lambda r, n: np.where(r.random(n) < 0.1, np.nan, r.normal(size=n)),
    "rarely missing": lambda r, n: np.where(r.random(n) < 0.002, np.nan, r.normal(size=n)),
    "near one": lambda r, n: r.beta(20, 1, n),
    "tied": lambda r, n: np.round(r.normal(size=n), 1),
    "pareto": lambda r, n: r.pareto(1.2, n),
}
CATEGORIES: dict[str, Draw] = {
    "few": lambda r, n: _texts(r.choice(5, n, p=[0.5, 0.3, 0.15, 0.04, 0.01])),
    "dozen": lambda r, n: _texts(r.choice(13, n, p=DOZEN)),
    "fifty": lambda r, n: _texts(r.integers(0, 50, n)),
    "zipf": lambda r, n: _texts(r.choice(5000, n, p=ZIPF / ZIPF.sum())),
    "identifiers": lambda r, n: _texts(r.integers(0, 10**9, n)),
    "rare values": lambda r, n: _texts(np.where(r.random(n) < 0.998, -1, r.integers(0, 30, n))),
}
DRAWS = {**NUMBERS, **CATEGORIES}
CHANGES: dict[str, tuple[str, Draw]] = {
    "mean + 0.2 deviations": ("normal", lambda r, n: r.normal(0.2, size=n)),
    "mean + 0.4 deviations": ("normal", lambda r, n: r.normal(0.4, size=n)),
    "deviation x 1.3": ("normal", lambda r, n: r.normal(0, 1.3, n)),
    "lognormal x 1.5": ("lognormal", lambda r, n: 1.5 * r.lognormal(0, 2, n)),
    "missing 0.2% -> 3%": ("rarely missing", lambda r, n: np.where(r.random(n) < 0.03, np.nan, r.normal(size=n))),
    "a share 50% -> 60%": ("few", lambda r, n: _texts(r.choice(5, n, p=[0.6, 0.2, 0.15, 0.04, 0.01]))),
    "5% of a new value": ("few", lambda r, n: _texts(np.where(r.random(n) < 0.05, 9, _codes(r, n)))),
    "other identifiers 20%": ("zipf", lambda r, n: np.where(r.random(n) < 0.2, "new", DRAWS["zipf"](r, n))),
}


def _texts(values: Any) -> Any:
    return values.astype(str).astype(object)


def _codes(random: Any, rows: int) -> Any:
    return random.choice(5, rows, p=[0.5, 0.3, 0.15, 0.04, 0.01])


def main() -> None:
    """Run as told on the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=200, help="clean windows of each size of window and baseline")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    print_false_alarms(random, options.windows)
    print_found(random, max(20, options.windows // 4))
    print(f"\n{platform.platform()}, Python {platform.python_version()}, numpy {np.__version__}")


def make_baseline(random: Any, rows: int) -> DataProfile:
    """Return the profile of an artifact's training data."""
    profile = DataProfile()
    profile.update({name: draw(random, rows) for name, draw in DRAWS.items()})
    return profile


def make_window(random: Any, rows: int, changed: dict[str, Draw] | None = None, *, batches: int = 4) -> DataProfile:
    """Return the profile of a window."""
    window = DataProfile(rows=rows)
    for name, draw in {**DRAWS, **(changed or {})}.items():
        values = draw(random, rows)
        column: Any = CategoryProfile() if values.dtype == object else NumericProfile.for_window()
        for part in np.array_split(values, batches):
            batch: Any = CategoryProfile() if values.dtype == object else NumericProfile.for_window()
            batch.update(part.tolist() if values.dtype == object else part)
            column.merge(batch)
        window.features[name] = column
    return unpack_profile(pack_profile(window))


def print_false_alarms(random: Any, windows: int) -> None:
    """Print the share of clean windows with a drifted feature, by size of window and of baseline."""
    print(f"windows without drift in which a feature of {len(DRAWS)} is said to have drifted, of {windows} each")
    print(f"{'baseline rows':>14s} " + " ".join(f"{rows:>7d}" for rows in WINDOWS) + "  an hour of 30000")
    alarms = total = whole = 0
    for rows in BASELINES:
        baseline, counts = make_baseline(random, rows), []
        for size in (*WINDOWS, None):
            repeats = windows if size else max(1, windows // 40)
            found = [
                _compare(random, baseline if i % 20 else make_baseline(random, rows), size) for i in range(repeats)
            ]
            counts.append(sum(table.verdict is Verdict.DRIFTED for table in found))
            whole += sum(table.dataset_verdict is Verdict.DRIFTED for table in found)
            total += repeats
        alarms += sum(counts)
        print(f"{rows:>14d} " + " ".join(f"{count:>7d}" for count in counts[:-1]) + f"  {counts[-1]} of {repeats}")
    print(f"together {alarms} of {total} windows, {alarms / total:.2%}; drift of the data set: {whole}")


def _compare(random: Any, baseline: DataProfile, size: int | None) -> Any:
    if size is not None:
        return compare_profiles(baseline, make_window(random, size), LIMITS)
    return compare_profiles(baseline, union_profiles(make_window(random, 500) for _ in range(HOUR)), LIMITS)


def print_found(random: Any, windows: int) -> None:
    """Print the share of windows in which a small change of one feature is found."""
    print(f"\nshare of {windows} windows in which a change of one feature of {len(DRAWS)} is found")
    for rows in (1000, 50_000):
        baselines = [make_baseline(random, rows) for _ in range(8)]
        print(f"{'baseline of ' + str(rows):>24s} " + " ".join(f"{size:>6d}" for size in WINDOWS))
        for name, (feature, draw) in CHANGES.items():
            shares = [_share_found(random, baselines, size, feature, draw, windows) for size in WINDOWS]
            print(f"{name:>24s} " + " ".join(f"{share:>6.0%}" for share in shares))


def _share_found(random: Any, baselines: list[DataProfile], size: int, feature: str, draw: Draw, windows: int) -> float:
    found = 0
    for i in range(windows):
        table = compare_profiles(baselines[i % len(baselines)], make_window(random, size, {feature: draw}), LIMITS)
        found += any(c.column == feature and c.verdict is Verdict.DRIFTED for c in table.features)
    return found / windows


if __name__ == "__main__":
    main()
