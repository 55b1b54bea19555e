"""Load test of a running server: requests a second, latency, errors.

    python benchmarks/serving.py --token TOKEN --model digits
    python benchmarks/serving.py --token TOKEN --model digits --protocol v2 --rows 8 --connections 64 --seconds 20

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
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

PACKAGES = ("gunicorn", "uvloop", "numpy", "orjson", "tensorflow", "torch")
WORDS = ("red", "green", "blue")


@dataclass
class Result:
    """What came out: latencies in milliseconds by quantile, answers by status."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    statuses: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)


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
    run = run_wrk if use_wrk else run_python
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


def run_wrk(url: str, headers: dict[str, str], body: bytes, connections: int, seconds: int) -> Result:
    """Let wrk send the request over and over."""
    with tempfile.TemporaryDirectory() as folder:
        content, script = Path(folder, "body"), Path(folder, "request.lua")
        content.write_bytes(body)
        script.write_text(wrk_script(headers, content))
        threads = min(2, connections)
        command = [
            "wrk",
            f"-t{threads}",
            f"-c{connections}",
            f"-d{seconds}s",
            "-s",
            str(script),
            "--timeout",
            "30s",
            url,
        ]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = dict(re.findall(r"^FIGURE (\w+) ([\d.]+)$", text, re.MULTILINE))
    statuses = Counter({code: int(count) for code, count in re.findall(r"^STATUS (\d+) (\d+)$", text, re.MULTILINE)})
    broken = int(float(figures["broken"]))
    if broken:
        statuses["no answer"] = broken
    return Result(
        requests_per_s=float(figures["requests"]) / (float(figures["duration_us"]) / 1e6),
        p50_ms=float(figures["p50_us"]) / 1000,
        p99_ms=float(figures["p99_us"]) / 1000,
        statuses=statuses,
    )


def wrk_script(headers: dict[str, str], content: Path) -> str:
    """Return the Lua that sends one body and counts answers by status."""
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    return "\n".join(
        [
            'wrk.method = "POST"',
            f'wrk.body = io.open("{content}", "rb"):read("*a")',
            *lines,
            "local threads = {}",
            "function setup(thread) table.insert(threads, thread) end",
            "function init(args) statuses = '' counts = {} end",
            "function response(status) counts[status] = (counts[status] or 0) + 1",
            "  statuses = '' for code, n in pairs(counts) do statuses = statuses .. code .. ' ' .. n .. '\\n' end end",
            "function done(summary, latency, requests)",
            "  local total = {}",
            "  for _, thread in ipairs(threads) do",
            "    for code, n in string.gmatch(thread:get('statuses'), '(%d+) (%d+)') do",
            "      total[code] = (total[code] or 0) + tonumber(n) end end",
            "  for code, n in pairs(total) do print(string.format('STATUS %s %d', code, n)) end",
            "  local e = summary.errors",
            "  print(string.format('FIGURE broken %d', e.connect + e.read + e.write + e.timeout))",
            "  print(string.format('FIGURE requests %d', summary.requests))",
            "  print(string.format('FIGURE duration_us %d', summary.duration))",
            "  print(string.format('FIGURE p50_us %d', latency:percentile(50)))",
            "  print(string.format('FIGURE p99_us %d', latency:percentile(99)))",
            "end",
        ]
    )


def run_python(url: str, headers: dict[str, str], body: bytes, connections: int, seconds: int) -> Result:
    """Send the request from coroutines, each on a connection of its own."""
    return asyncio.run(_run_python(url, headers, body, connections, seconds))


async def _run_python(url: str, headers: dict[str, str], body: bytes, connections: int, seconds: int) -> Result:
    target = urlsplit(url)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {len(body)}\r\n{head}\r\n"
    request = start.encode() + body
    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    until = time.monotonic() + seconds

    async def worker() -> None:
        reader, writer = await asyncio.open_connection(target.hostname, target.port or 80)
        while time.monotonic() < until:
            began = time.monotonic()
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
            latencies.append((time.monotonic() - began) * 1000)
            statuses[answer[9:12].decode()] += 1
            served = re.search(rb"(?i)x-model-version: (\d+)", answer)
            versions[served[1].decode() if served else "none"] += 1
        writer.close()

    began = time.monotonic()
    failures = await asyncio.gather(*(worker() for _ in range(connections)), return_exceptions=True)
    elapsed_s = time.monotonic() - began
    statuses["no answer"] += sum(isinstance(failure, BaseException) for failure in failures)
    latencies.sort()
    return Result(
        requests_per_s=len(latencies) / elapsed_s,
        p50_ms=_quantile(latencies, 0.5),
        p99_ms=_quantile(latencies, 0.99),
        statuses=+statuses,
        versions=versions,
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def report(result: Result, options: argparse.Namespace, generator: str, body_bytes: int) -> None:
    """Print what came out, and on what."""
    errors = sum(count for status, count in result.statuses.items() if status != "200")
    print(f"{options.model} over {options.protocol}, {options.rows} rows a request of {body_bytes} bytes")
    print(f"{options.connections} connections for {options.seconds} s, load by {generator}")
    print(f"requests/s  {result.requests_per_s:10.0f}   (rows/s {result.requests_per_s * options.rows:.0f})")
    print(f"p50         {result.p50_ms:10.2f} ms")
    print(f"p99         {result.p99_ms:10.2f} ms")
    print(f"errors      {errors:10d}      {dict(result.statuses)}")
    if result.versions:
        print(f"answered by versions {dict(result.versions)}")
    print(f"machine     {processor()}, {len(os.sched_getaffinity(0))} cores usable, load {os.getloadavg()[0]:.1f}")
    print(f"with        Python {platform.python_version()}, {packages()}")


def processor() -> str:
    """Return what the machine calls its processor."""
    info = Path("/proc/cpuinfo")
    match = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return match[1] if match else platform.processor()


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
