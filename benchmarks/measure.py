"""Checks one answer of a server against the engine's own, then loads it and counts what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import httpx

from benchmarks.bodies import Body, Rows, difference, encode
from benchmarks.contenders import Contender, Target
from benchmarks.grpc_load import call_once, run_grpc
from benchmarks.http_load import Load, run_wrk
from benchmarks.processes import Server

WARM_UP_S = 1
LARGE_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One column of the comparison: which of a server's routes, and how many rows in each request."""

    route: str
    rows: int = 1
    title: str


PROTOCOLS = {
    "json": Protocol(route="json", title="JSON, 1 row"),
    "json-v2": Protocol(route="json-v2", title="JSON of V2, 1 row"),
    "binary": Protocol(route="binary", title="binary, 1 row"),
    "binary-32": Protocol(route="binary", rows=LARGE_ROWS, title=f"binary, {LARGE_ROWS} rows"),
    "grpc": Protocol(route="grpc", title="gRPC, 1 row"),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of the table: a contender, a protocol, a number of connections. `note` says why there is none."""

    contender: str
    protocol: str
    connections: int
    rows: int = 1
    requests_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    errors: int = 0
    cpu_ms_per_request: float = 0.0
    memory_mb: float = 0.0
    note: str = ""


def check_target(target: Target, body: Body, expected: Rows) -> str:
    """Return what is wrong with one answer; empty if it is what the engine gives in-process."""
    try:
        if target.form == "grpc":
            return difference(
                target.form, call_once(target.address, body.content, target.headers_for(body)), {}, expected
            )
        headers = target.headers_for(body)
        reply = httpx.post(target.address, content=body.content, headers=headers, timeout=30, trust_env=False)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"[:200]
    except httpx.HTTPError as error:
        return f"no answer: {error!r}"[:200]
    if reply.status_code != 200:
        return f"{reply.status_code}: {reply.text[:160]}"
    return difference(target.form, reply.content, dict(reply.headers), expected)


def measure_protocol(
    contender: Contender, name: str, *, connections: Sequence[int], seconds: float, rows: Rows, expected: Rows
) -> list[Cell]:
    """Return a cell for each number of connections, or one that says why there is none."""
    protocol = PROTOCOLS[name]
    target = contender.target(protocol.route)
    if target is None:
        return []
    body = encode(target.form, rows[: protocol.rows])
    wrong = check_target(target, body, expected[: protocol.rows])
    if wrong:
        return [Cell(contender=contender.name, protocol=name, connections=count, note=wrong) for count in connections]
    send(target, body, connections=max(connections), seconds=WARM_UP_S)
    return [_measure(contender, name, target, body, connections=count, seconds=seconds) for count in connections]


def send(target: Target, body: Body, *, connections: int, seconds: float) -> Load:
    """Load a target with the generator for its protocol."""
    headers = target.headers_for(body)
    if target.form == "grpc":
        return run_grpc(target.address, body.content, headers, connections=connections, seconds=seconds)
    return run_wrk(target.address, body.content, headers, connections=connections, seconds=seconds)


def _measure(contender: Contender, name: str, target: Target, body: Body, *, connections: int, seconds: float) -> Cell:
    used_s = _cpu_s(contender.servers)
    load = send(target, body, connections=connections, seconds=seconds)
    used_s = _cpu_s(contender.servers) - used_s
    return Cell(
        contender=contender.name,
        protocol=name,
        connections=connections,
        rows=PROTOCOLS[name].rows,
        requests_per_s=load.requests_per_s,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        errors=load.errors,
        cpu_ms_per_request=used_s * 1000 / max(1, load.requests + load.extra_requests),
        memory_mb=sum(server.memory_bytes() for server in contender.servers) / 1e6,
    )


def _cpu_s(servers: Sequence[Server]) -> float:
    return sum(server.cpu_s() for server in servers)
