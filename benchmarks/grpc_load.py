"""The gRPC load of the benchmarks: h2load where it is installed, else coroutines of grpc.aio.

Either sends one encoded request over and over, on connections of its own, one call at a time on
each. h2load (Debian: nghttp2-client) takes about as much of the machine as wrk does; a Python client
takes about as much as the server, so its figures are lower for all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from benchmarks.http_load import Load

METHOD = "/inference.GRPCInferenceService/ModelInfer"

_TIMEOUT_S = 30.0
_LONGEST_RUN_S = 120.0
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def call_once(address: str, body: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the encoded answer to one call.

    Raises: grpc.RpcError.
    """
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(METHOD)  # bytes in, bytes out: no messages to encode
        answer: bytes = call(body, metadata=tuple(metadata.items()), timeout=_TIMEOUT_S)
        return answer


def run_grpc(
    address: str,
    body: bytes,
    metadata: Mapping[str, str],
    *,
    connections: int,
    seconds: float,
    generator: str = "auto",
) -> Load:
    """Send one call over and over from another process."""
    has_h2load = shutil.which("h2load") is not None
    if generator == "h2load" or (generator == "auto" and has_h2load):
        return _run_h2load(address, body, metadata, connections=connections, seconds=seconds)
    return _run_python(address, body, metadata, connections=connections, seconds=seconds)


def _run_h2load(address: str, body: bytes, metadata: Mapping[str, str], *, connections: int, seconds: float) -> Load:
    # A number of calls, not a time: at the end of a time h2load leaves calls unfinished, and a Triton
    # whose clients leave so was seen to die. Two short runs say how many calls the time is worth.
    calls, extra = 20 * connections, 0
    for share_s in (0.3, seconds):
        load = _run_h2load_calls(address, body, metadata, connections=connections, calls=calls)
        extra += calls
        calls = max(connections, int(load.requests_per_s * share_s))
    load = _run_h2load_calls(address, body, metadata, connections=connections, calls=calls)
    return replace(load, extra_requests=extra)


def _run_h2load_calls(address: str, body: bytes, metadata: Mapping[str, str], *, connections: int, calls: int) -> Load:
    # An error has trailers and no data, and its HTTP status is 200: what is missing in bytes are errors.
    answer_bytes = 5 + len(call_once(address, body, metadata))
    headers = {"content-type": "application/grpc", "te": "trailers", **metadata}
    with tempfile.TemporaryDirectory() as folder:
        content, log = Path(folder, "body"), Path(folder, "log")
        content.write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
        command = [
            "h2load",
            "-t1",
            f"-c{connections}",
            "-m1",
            f"-n{calls}",
            f"-d{content}",
            f"--log-file={log}",
            *(f"-H{name}: {value}" for name, value in headers.items()),
            f"http://{address}{METHOD}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LONGEST_RUN_S)
        rows = [tuple(map(int, line.split("\t"))) for line in log.read_text().splitlines()]
    answered = [(began, us) for began, status, us in rows if status == 200]
    data_bytes = int(_found(r"\((\d+)\) data", done.stdout))
    missing = max(0, round(len(answered) - data_bytes / answer_bytes))
    duration_us = max((began + us for began, us in answered), default=0) - min((b for b, _ in answered), default=0)
    return _load(
        sorted(us for _, us in answered),
        duration_s=max(1, duration_us) / 1e6,
        errors=calls - len(answered) + missing,
        requests=calls,
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"h2load printed no {pattern}: {text[-500:]}")
    return match[1]


def _run_python(address: str, body: bytes, metadata: Mapping[str, str], *, connections: int, seconds: float) -> Load:
    order = {"address": address, "metadata": dict(metadata), "connections": connections, "seconds": seconds}
    with tempfile.NamedTemporaryFile() as content:
        content.write(body)
        content.flush()
        command = [sys.executable, "-m", "benchmarks.grpc_load", json.dumps({**order, "body": content.name})]
        root = Path(__file__).resolve().parent.parent
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60, cwd=root)
    return _load(**json.loads(done.stdout))


def _load(latencies: list[int], *, duration_s: float, errors: int, requests: int) -> Load:
    def quantile_ms(share: float) -> float:
        return latencies[min(len(latencies) - 1, int(len(latencies) * share))] / 1000 if latencies else float("nan")

    return Load(
        requests=requests, duration_s=duration_s, p50_ms=quantile_ms(0.5), p99_ms=quantile_ms(0.99), errors=errors
    )


async def _call_over_and_over(address: str, body: bytes, metadata: Mapping[str, str], until_s: float) -> list[int]:
    # Latencies in microseconds; -1 for a call that failed.
    taken = []
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        call: Any = channel.unary_unary(METHOD)
        pairs = tuple(metadata.items())
        while time.monotonic() < until_s:
            began = time.monotonic()
            try:
                await call(body, metadata=pairs, timeout=_TIMEOUT_S)
            except grpc.aio.AioRpcError:
                taken.append(-1)
                continue
            taken.append(int((time.monotonic() - began) * 1e6))
    return taken


async def _generate(order: dict[str, object]) -> dict[str, object]:
    began = time.monotonic()
    until_s = began + float(str(order["seconds"]))
    body = Path(str(order["body"])).read_bytes()
    metadata = dict(order["metadata"])  # type: ignore[call-overload]
    workers = (
        _call_over_and_over(str(order["address"]), body, metadata, until_s)
        for _ in range(int(str(order["connections"])))
    )
    taken = [us for part in await asyncio.gather(*workers) for us in part]
    good = sorted(us for us in taken if us >= 0)
    return {
        "latencies": good,
        "duration_s": time.monotonic() - began,
        "errors": len(taken) - len(good),
        "requests": len(taken),
    }


def main() -> None:
    """Be the generator's process: take an order as JSON, print what was found as JSON."""
    parser = argparse.ArgumentParser(description="one process of the gRPC load; benchmarks.serving starts it")
    parser.add_argument("order")
    print(json.dumps(asyncio.run(_generate(json.loads(parser.parse_args().order)))))


if __name__ == "__main__":
    main()
