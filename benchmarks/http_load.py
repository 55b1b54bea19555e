"""wrk: the HTTP load of the benchmarks, and what it found."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import ServerError

_TIMEOUT_S = 30
_COUNT_STATUSES = """
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args) statuses = '' counts = {} end
function response(status)
  counts[status] = (counts[status] or 0) + 1
  statuses = ''
  for code, n in pairs(counts) do statuses = statuses .. code .. ' ' .. n .. '\\n' end
end
function print_statuses()
  local total = {}
  for _, thread in ipairs(threads) do
    for code, n in string.gmatch(thread:get('statuses'), '(%d+) (%d+)') do
      total[code] = (total[code] or 0) + tonumber(n)
    end
  end
  for code, n in pairs(total) do print(string.format('STATUS %s %d', code, n)) end
end
"""
_PRINT_FIGURES = """
function done(summary, latency, requests)
  if print_statuses then print_statuses() end
  local e = summary.errors
  print(string.format('FIGURE refused %d', e.status))
  print(string.format('FIGURE broken %d', e.connect + e.read + e.write + e.timeout))
  print(string.format('FIGURE requests %d', summary.requests))
  print(string.format('FIGURE duration_us %d', summary.duration))
  print(string.format('FIGURE p50_us %d', latency:percentile(50)))
  print(string.format('FIGURE p99_us %d', latency:percentile(99)))
end
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a load generator found. Errors are answers that say so, and requests without an answer.

    `extra_requests` were sent beside, to find out how many are worth the time.
    """

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    extra_requests: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)

    @property
    def requests_per_s(self) -> float:
        """Return the rate of good answers."""
        return max(0, self.requests - self.errors) / self.duration_s if self.duration_s else 0.0


def require_wrk() -> None:
    """End with a sentence if wrk is not installed."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")


def run_wrk(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    connections: int,
    seconds: float,
    threads: int = 1,
    with_statuses: bool = False,
) -> Load:
    """Send one request over and over; `with_statuses` counts answers by status, at some cost."""
    with tempfile.TemporaryDirectory() as folder:
        content, script = Path(folder, "body"), Path(folder, "request.lua")
        content.write_bytes(body)
        script.write_text(_script(content, headers, with_statuses=with_statuses))
        command = [
            "wrk",
            f"-t{min(threads, connections)}",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            f"--timeout={_TIMEOUT_S}s",
            "-s",
            str(script),
            url,
        ]
        limit_s = seconds + _TIMEOUT_S + 30
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    if "FIGURE" not in done.stdout:
        raise ServerError(f"wrk found nothing at {url}: {(done.stderr + done.stdout)[-300:]}")
    return _read(done.stdout)


def _script(content: Path, headers: Mapping[str, str], *, with_statuses: bool) -> str:
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    start = ['wrk.method = "POST"', f'wrk.body = io.open("{content}", "rb"):read("*a")', *lines]
    return "\n".join([*start, _COUNT_STATUSES if with_statuses else "", _PRINT_FIGURES])


def _read(text: str) -> Load:
    figures = {name: int(value) for name, value in re.findall(r"^FIGURE (\w+) (\d+)$", text, re.MULTILINE)}
    statuses = Counter({code: int(count) for code, count in re.findall(r"^STATUS (\d+) (\d+)$", text, re.MULTILINE)})
    if figures["broken"]:
        statuses["no answer"] = figures["broken"]
    return Load(
        requests=figures["requests"],
        duration_s=figures["duration_us"] / 1e6,
        p50_ms=figures["p50_us"] / 1000,
        p99_ms=figures["p99_us"] / 1000,
        errors=figures["refused"] + figures["broken"],
        statuses=statuses,
    )
