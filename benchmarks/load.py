"""Load test of a running server: requests a second, latency, errors.

    python -m benchmarks.load --token TOKEN --model digits
    python -m benchmarks.load --token TOKEN --model digits --protocol v2 --rows 8 --connections 64 --seconds 20

The input is random, of the shape and type that the model's own metadata names; `--body FILE` sends
that file instead. `wrk` generates the load if it is installed (`--generator python` does without;
a Python generator takes about as much of the machine as the server, so its figures are lower).

Run it on a machine with nothing else to do, and say beside any figure what this prints of the
machine. A first second of warm-up is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import time
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import httpx

from benchmarks.http_client import HttpLoad
from benchmarks.http_load import Load, run_wrk
from benchmarks.machine import describe_machine
from benchmarks.outcomes import quantile

PACKAGES = ("gunicorn", "uvloop", "numpy", "orjson", "tensorflow", "torch")
WORDS = ("red", "green", "blue")


def main() -> None:
    """Run as told on the command line and print the result."""
    options = parse_options()
    headers = {"Content-Type": "application/json"}
    if options.token:
        headers["Authorization"] = f"Bearer {options.token}"
    suffix = f"/v1/models/{options.model}:predict"
    if options.protocol == "v2":
        suffix = f"/v2/models/{options.model}/infer"
    url = options.url.rstrip("/") + suffix
    body = Path(options.body).read_bytes() if options.body else random_body(options, headers)
    check_one(url, headers, body)
    use_wrk = options.generator == "wrk" or (options.generator == "auto" and shutil.which("wrk"))
    run = _wrk if use_wrk else run_python
    run(url, headers, body, options.connections, 1)  # warm-up
    result = run(url, headers, body, options.connections, options.seconds)
    report(result, options, "wrk" if use_wrk else "Python", len(body))


def parse_options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token", default="", help="a token with the scope 'predict'")
    parser.add_argument("--model", required=True, help="the endpoint's name")
    parser.add_argument("--protocol", choices=("v1", "v2"), default="v1")
    parser.add_argument("--rows", type=int, default=1, help="rows in each request")
    parser.add_argument("--body", help="a file to send instead of random input")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--generator", choices=("auto", "wrk", "python"), default="auto")
    return parser.parse_args()


def random_body(options: argparse.Namespace, headers: dict[str, str]) -> bytes:
    """Return a request of random values that fits the model's metadata."""
    reply = httpx.get(f"{options.url.rstrip('/')}/v2/models/{options.model}", headers=headers)
    if reply.status_code != 200:
        sys.exit(f"no metadata of '{options.model}': {reply.status_code} {reply.text}")
    chance = random.Random(1)
    tensors = []
    for spec in reply.json()["inputs"]:
        shape = [options.rows, *(max(1, size) for size in spec["shape"][1:])]
        tensors.append({**spec, "shape": shape, "data": nested(shape, spec["datatype"], chance)})
    if options.protocol == "v2":
        return json.dumps({"inputs": tensors}).encode()
    rows = [{tensor["name"]: tensor["data"][i] for tensor in tensors} for i in range(options.rows)]
    return json.dumps({"instances": rows}).encode()


def nested(shape: list[int], datatype: str, chance: random.Random) -> Any:
    """Return nested lists of random values of a V2 datatype."""
    if shape:
        return [nested(shape[1:], datatype, chance) for _ in range(shape[0])]
    if datatype == "BYTES":
        return chance.choice(WORDS)
    if datatype == "BOOL":
        return chance.random() < 0.5
    return float(chance.randrange(256)) if datatype.startswith("FP") else chance.randrange(100)


def check_one(url: str, headers: dict[str, str], body: bytes) -> None:
    """End with the server's own words unless it answers one request."""
    reply = httpx.post(url, headers=headers, content=body)
    if reply.status_code != 200:
        sys.exit(f"the server answered {reply.status_code}: {reply.text[:500]}")


def _wrk(url: str, headers: dict[str, str], body: bytes, connections: int, seconds: int) -> Load:
    return run_wrk(url, body, headers, connections=connections, seconds=seconds, threads=2, with_statuses=True)


def run_python(url: str, headers: dict[str, str], body: bytes, connections: int, seconds: int) -> Load:
    """Send the request from coroutines, each on a connection of its own."""
    load = HttpLoad(url, body, headers)
    began_s = time.monotonic()
    asyncio.run(load.run_closed(connections, lambda: time.monotonic() - began_s >= seconds))
    outcomes = load.outcomes
    latencies = outcomes.latencies_ms(outcomes.statuses)
    return Load(
        requests=len(outcomes.all),
        duration_s=time.monotonic() - began_s,
        p50_ms=quantile(latencies, 0.5),
        p99_ms=quantile(latencies, 0.99),
        errors=outcomes.failures,
        statuses=outcomes.statuses,
        versions=Counter(outcome.version or "none" for outcome in outcomes.all),
    )


def report(result: Load, options: argparse.Namespace, generator: str, body_bytes: int) -> None:
    """Print what came out, and on what."""
    print(f"{options.model} over {options.protocol}, {options.rows} rows a request of {body_bytes} bytes")
    print(f"{options.connections} connections for {options.seconds} s, load by {generator}")
    print(f"requests/s  {result.requests_per_s:10.0f}   (rows/s {result.requests_per_s * options.rows:.0f})")
    print(f"p50         {result.p50_ms:10.2f} ms")
    print(f"p99         {result.p99_ms:10.2f} ms")
    print(f"errors      {result.errors:10d}      {dict(result.statuses)}")
    if result.versions:
        print(f"answered by versions {dict(result.versions)}")
    print(f"machine     {describe_machine()}")
    print(f"with        {packages()}")


def packages() -> str:
    """Return the versions of what matters, as installed where this runs."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    main()
