"""The platform beside its peers: the same model, the same bodies, the servers in turns.

    python -m benchmarks.peers install                 once: an environment for each peer
    python -m benchmarks.serving --seconds 4           the whole table, under 15 minutes
    python -m benchmarks.serving --only triton --protocols binary --connections 64
    python -m benchmarks.serving --write docs/performance.md

All servers are started and have one answer of each protocol compared with the engine's own. Then they are loaded in
turns (wrk; h2load for gRPC) while the others stand still, and the best of a cell's turns counts, for every server
alike: what else a machine does only ever slows. docs/performance.md says more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.contenders import WORKERS, Conditions, Contender, PeerContender
from benchmarks.http_load import require_wrk
from benchmarks.in_turns import Plan, measure_in_turns, say, views
from benchmarks.limit import measure_limit
from benchmarks.machine import describe_machine
from benchmarks.measure import PROTOCOLS
from benchmarks.model import INPUT, OUTPUT, make_model
from benchmarks.ours import Platform, require_switch
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
    add("--seconds", type=float, default=4.0, help="for each cell of the table, over all turns; at least 1 a turn")
    add("--rounds", type=int, default=4, help="how many turns each server has for each cell")
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
    seconds = max(1.0, options.seconds / options.rounds)
    found, limits = measure_in_turns(
        contenders,
        Plan(
            protocols=options.protocols, connections=options.connections, turns=options.rounds, seconds=seconds,
            rows=rows, expected=expected,
            take_limit=lambda count: measure_limit(
                conditions, rows=count, processes=options.workers, seconds=seconds
            ),
        ),
    )  # fmt: skip
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


def _command(words: list[str]) -> str:
    """Return how this was called; where the peers' environments are is one machine's own affair."""
    places = {place + 1 for place, word in enumerate(words) if word == "--peers-folder"}
    shown = ["FOLDER" if place in places else word for place, word in enumerate(words)]
    return " ".join(["python -m benchmarks.serving", *shown])


if __name__ == "__main__":
    main()
