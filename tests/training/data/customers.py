"""A made-up table of customers: numbers and categories, some of them missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_customers(path: Path, *, classes: int) -> None:
    """Write 600 customers whose class follows from income and job."""
    random = np.random.default_rng(2)
    lines = ["income,job,class"]
    for row in range(600):
        label = row % classes
        income = "" if random.random() < 0.1 else f"{1000 * label + random.normal(0, 300):.0f}"
        job = "" if random.random() < 0.1 else ("cook", "clerk", "pilot")[label]
        lines.append(f"{income},{job},{('bad', 'good', 'best')[label]}")
    path.write_text("\n".join(lines))


def write_rents(path: Path) -> None:
    """Write 600 flats whose rent follows from size and quarter, in a unit far from 1."""
    random = np.random.default_rng(3)
    lines = ["size,quarter,rent"]
    for _ in range(600):
        size, quarter = random.uniform(20, 120), random.choice(["port", "hill", "mill"])
        rent = 9000 + 250 * size + {"port": 0, "hill": 8000, "mill": -5000}[quarter] + random.normal(0, 500)
        lines.append(f"{'' if random.random() < 0.05 else f'{size:.1f}'},{quarter},{rent:.2f}")
    path.write_text("\n".join(lines))
