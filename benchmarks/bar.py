"""What the platform asks of itself beside its peers, and whether a run met it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.limit import Limit
from benchmarks.measure import LARGE_ROWS, Cell

OURS = ("ours", "ours-direct")  # no peers
BEST_PEER = {  # (protocol, connections): how many times the best peer's requests a second
    ("json", 1): 1.5,
    ("json", 16): 1.5,
    ("json", 64): 1.25,
    ("binary", 1): 1.5,
    ("binary", 16): 1.5,
    ("binary", 64): 1.25,
    ("grpc", 64): 1.2,
}
ENGINE_SHARE = 0.8
OVERHEAD_MS = {"binary": 0.3, "json": 0.5}
TAIL_RATIO = 3.0
GATEWAY_SHARE = 0.6
GATEWAY_MS = 1.0

Cells = Mapping[tuple[str, str, int], Cell]


@dataclass(frozen=True)
class Demand:
    """One thing that is asked: what was found, and the limit that it must reach or keep."""

    text: str
    found: float
    limit: float
    is_least: bool = True

    @property
    def is_met(self) -> bool:
        """Say whether the run met it."""
        return self.found >= self.limit if self.is_least else self.found <= self.limit


def demands(cells: Sequence[Cell], limits: Sequence[Limit]) -> list[Demand]:
    """Return every demand that these cells can answer."""
    known = {(cell.contender, cell.protocol, cell.connections): cell for cell in cells if not cell.note}
    calls = {limit.rows: limit for limit in limits}
    return [*_beside_peers(known), *_beside_engine(known, calls), *_tails(known), *_gateway(known)]


def best_peer(cells: Sequence[Cell], connections: int) -> float:
    """Return the best peer's requests a second among cells of one protocol; 0 if there is no peer."""
    rates = [
        cell.requests_per_s
        for cell in cells
        if cell.contender not in OURS and cell.connections == connections and not cell.note
    ]
    return max(rates, default=0.0)


def _beside_peers(known: Cells) -> Iterator[Demand]:
    for (protocol, connections), factor in BEST_PEER.items():
        ours = known.get(("ours", protocol, connections))
        best = best_peer([cell for cell in known.values() if cell.protocol == protocol], connections)
        if ours is not None and best:
            text = f"{protocol} at {connections}, to the best peer"
            yield Demand(text, ours.requests_per_s / best, factor)


def _beside_engine(known: Cells, limits: Mapping[int, Limit]) -> Iterator[Demand]:
    large = [cell for (name, protocol, _), cell in known.items() if name == "ours" and protocol == "binary-32"]
    if large and LARGE_ROWS in limits:
        rate = max(cell.requests_per_s * cell.rows for cell in large)
        text = f"rows/s of binary requests of {LARGE_ROWS} rows, to the engine in-process"
        yield Demand(text, rate / limits[LARGE_ROWS].rows_per_s, ENGINE_SHARE)
    for protocol, limit_ms in OVERHEAD_MS.items():
        single = known.get(("ours", protocol, 1))
        if single is not None and 1 in limits:
            text = f"{protocol} at 1, p50 above the engine's own call, ms"
            yield Demand(text, single.p50_ms - limits[1].call_ms, limit_ms, is_least=False)


def _tails(known: Cells) -> Iterator[Demand]:
    for protocol in ("json", "binary", "grpc"):
        cell = known.get(("ours", protocol, 16))
        if cell is not None and cell.p50_ms:
            yield Demand(f"{protocol} at 16, p99 to p50", cell.p99_ms / cell.p50_ms, TAIL_RATIO, is_least=False)


def _gateway(known: Cells) -> Iterator[Demand]:
    for (name, protocol, connections), direct in known.items():
        through = known.get(("ours", protocol, connections))
        if name != "ours-direct" or through is None:
            continue
        share = through.requests_per_s / direct.requests_per_s if direct.requests_per_s else 0.0
        yield Demand(f"{protocol} at {connections}, through the gateway to past it", share, GATEWAY_SHARE)
        if connections == 1:
            text = f"{protocol} at 1, p50 that the gateway adds, ms"
            yield Demand(text, through.p50_ms - direct.p50_ms, GATEWAY_MS, is_least=False)
