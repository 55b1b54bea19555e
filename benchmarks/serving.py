"""The platform beside its peers: the same model, the same bodies, one server after the other.

    python -m benchmarks.peers install                 once: an environment for each peer
    python -m benchmarks.serving --seconds 4           the whole table, about half an hour
    python -m benchmarks.serving --only triton --protocols binary --connections 64
    python -m benchmarks.serving --write docs/performance.md

Each server is started, has one answer of each protocol compared with the engine's own, is loaded
(wrk; h2load for gRPC), and stopped. That happens in rounds, every other one in reverse, and the better of
a cell's rounds counts, for every server alike: what else a machine does only ever slows. docs/performance.md says more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.bodies import Rows
from benchmarks.contenders import WORKERS, Conditions, Contender, PeerContender
from benchmarks.http_load import require_wrk
from benchmarks.limit import Limit, measure_limit
from benchmarks.machine import describe_machine
from benchmarks.measure import LARGE_ROWS, PROTOCOLS, Cell, measure_protocol
from benchmarks.model import INPUT, OUTPUT, make_model
from benchmarks.ours import Platform, require_switch
from benchmarks.processes import ServerError
from benchmarks.report import Result, best_cells, best_limits, format_result, write_into

DEFAULT_PROTOCOLS = ("json", "binary", "binary-32", "grpc")
DEFAULT_JSON = peers.DEFAULT_FOLDER.parent / "benchmarks" / "serving.json"


def main() -> None:
    """Run as told on the command line."""
    options = parse_options()
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        result = run(options, Path(scratch))
    text = format_result(result)
    print(text)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(asdict(result), indent=1))
    print(f"\nwritten to {options.json}")
    if options.write:
        write_into(options.write, text)


def parse_options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    names = ["ours", *peers.names()]
    add("--seconds", type=float, default=4.0, help="for each cell of the table, over all rounds; at least 1 a round")
    add("--rounds", type=int, default=4, help="how often each server is started and measured")
    add("--only", action="append", default=[], choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    add("--skip", action="append", default=[], choices=names, metavar="NAME")
    add("--protocols", nargs="+", default=list(DEFAULT_PROTOCOLS), choices=list(PROTOCOLS))
    add("--connections", nargs="+", type=int, default=[1, 16, 64])
    add("--engine", choices=("onnx", "tensorflow"), default="onnx", help="what the peers run the model with")
    add("--no-gc-favour", action="store_true", help="leave the peers' garbage collector as it is")
    add("--workers", type=int, default=WORKERS, help="processes that each server answers with")
    add("--ours", choices=("all", "split"), default="all", help="one process tree, or a gateway before another")
    add("--without", action="append", default=[], metavar="PART", help="turn a part of ours off: capture, metrics")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of ours")
    add("--peers-folder", type=Path, default=peers.DEFAULT_FOLDER)
    add("--json", type=Path, default=DEFAULT_JSON, help="where the figures go")
    add("--write", type=Path, help="a page whose table is replaced, between its markers")
    return parser.parse_args()


def run(options: argparse.Namespace, scratch: Path) -> Result:
    """Measure everything."""
    conditions = Conditions(
        model=scratch / "model",
        scratch=scratch,
        engine=options.engine,
        workers=options.workers,
        is_gc_favoured=not options.no_gc_favour,
    )
    make_model(conditions.model)
    with np.load(conditions.model / "samples.npz") as samples:
        rows, expected = samples[INPUT], samples[OUTPUT]
    contenders, absent = choose(options, conditions)
    limits: list[Limit] = []
    found: list[Cell] = []
    for number in range(options.rounds):
        limits += [limit_of(conditions, options, count) for count in (1, LARGE_ROWS)]
        ordered = contenders if number % 2 == 0 else contenders[::-1]
        for contender in ordered:
            say(f"round {number + 1} of {options.rounds}: {contender.title}")
            found += measure(contender, options, rows, expected)
    return Result(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        command=_command(sys.argv[1:]),
        engine=options.engine,
        limits=best_limits(limits),
        titles={view.name: view.title for contender in contenders for view in [contender, *views(contender)]},
        versions={view.name: view.versions() for contender in contenders for view in [contender, *views(contender)]},
        cells=best_cells(found),
        absent=absent,
    )


def choose(options: argparse.Namespace, conditions: Conditions) -> tuple[list[Contender], list[str]]:
    """Return the servers to measure, and the peers that were asked for and are not installed."""
    names = [name for name in options.only or ["ours", *peers.names()] if name not in options.skip]
    absent = [name for name in names if name != "ours" and not peers.is_installed(name, options.peers_folder)]
    if absent:
        say(f"not installed, left out: {', '.join(absent)} (python -m benchmarks.peers install)")
    contenders: list[Contender] = []
    if "ours" in names:
        contenders.append(Platform(conditions, layout=options.ours, settings=our_settings(options)))
    found = [peers.read_peer(name) for name in names if name != "ours" and name not in absent]
    contenders += [PeerContender(peer, options.peers_folder, conditions) for peer in found]
    return contenders, absent


def our_settings(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings that the command line names."""
    settings = dict(pair.split("=", 1) for pair in options.set)
    for part in options.without:
        settings |= require_switch(part)
    return settings


def limit_of(conditions: Conditions, options: argparse.Namespace, rows: int) -> Limit:
    """Return the engine's own rate with as many processes as the servers have."""
    say(f"in-process limit, {rows} rows a call")
    return measure_limit(
        conditions, rows=rows, processes=options.workers, seconds=max(1.0, options.seconds / options.rounds)
    )


def measure(contender: Contender, options: argparse.Namespace, rows: Rows, expected: Rows) -> list[Cell]:
    """Start a server, measure its cells, and stop it; a server that fails has cells that say so."""
    seconds = max(1.0, options.seconds / options.rounds)
    cells: list[Cell] = []
    try:
        with running(contender):
            for view in [contender, *views(contender)]:
                for protocol in options.protocols:
                    cells += measure_protocol(
                        view, protocol, connections=options.connections, seconds=seconds, rows=rows, expected=expected
                    )
    except ServerError as error:
        say(f"{contender.title}: {error}")
        return [
            Cell(contender=contender.name, protocol=protocol, connections=count, note=str(error).splitlines()[0])
            for protocol in options.protocols
            for count in options.connections
        ]
    for cell in cells:
        say(f"  {cell.protocol:10} {cell.connections:4}  {cell.requests_per_s:8.0f}/s  {cell.note}")
    return cells


def views(contender: Contender) -> list[Contender]:
    """Return the other ways in to a contender's processes, measured while it runs."""
    return list(contender.views()) if isinstance(contender, Platform) else []


@contextmanager
def running(contender: Contender) -> Iterator[None]:
    """Have a contender run for a while."""
    try:
        contender.start()
        yield
    finally:
        contender.stop()


def say(text: str) -> None:
    """Tell who waits how far it is."""
    print(text, file=sys.stderr, flush=True)


def _command(words: list[str]) -> str:
    """Return how this was called; where the peers' environments are is one machine's own affair."""
    places = {place + 1 for place, word in enumerate(words) if word == "--peers-folder"}
    shown = ["FOLDER" if place in places else word for place, word in enumerate(words)]
    return " ".join(["python -m benchmarks.serving", *shown])


if __name__ == "__main__":
    main()
