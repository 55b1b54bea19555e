"""Models that the clients ask: trained once on a platform that a test has started."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

from tests.e2e.topology import Platform, wait_until

DIGITS = "digits"
CUSTOMERS = "customers"  # takes texts and numbers


def serve_digits(platform: Platform) -> None:
    """Train and serve version 1 of `digits`: image FP32 (n, 8, 8, 1) to probabilities FP32 (n, 10)."""
    _train(platform, DIGITS, "keras_cnn", "--data", "digits", "--set", "epochs=2")


def serve_customers(platform: Platform) -> None:
    """Train and serve version 1 of `customers`: age and city, each (n, 1), to probabilities FP32."""
    table = platform.folder / "customers.csv"
    write_customers(table)
    _train(platform, CUSTOMERS, "keras_tabular", "--data", str(table), "--target", "class", "--set", "epochs=2")


def write_customers(path: Path) -> None:
    """Write a table whose classes differ by age and city."""
    chance = random.Random(7)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["age", "city", "class"])
        for _ in range(300):
            age, city = round(chance.uniform(18, 80), 1), chance.choice(["Rome", "Oslo", "Århus"])
            rows.writerow([age, city, "buys" if (age > 45) == (city != "Oslo") else "leaves"])


def _train(platform: Platform, name: str, recipe: str, *options: str) -> None:
    done = platform.run_manage("train", "run", recipe, "--name", name, *options, "--deploy", "--wait", "--json")
    last = json.loads(done.stdout.strip().splitlines()[-1])
    assert last["state"] == "succeeded", last
    wait_until(
        lambda: platform.request("GET", f"/v2/models/{name}/versions/1/ready").status_code == 200,
        within_s=90,
        what=lambda: f"version 1 of {name} is served\n" + "\n".join(s.tail(15) for s in platform.servers.values()),
    )
