"""Measures servers side by side on a machine that is not always equally fast: all run, and one at a time is let.

A virtual machine shares its cores with strangers: minutes, and seconds, differ by half. Servers that are
measured one after the other would be compared by which minute they got. So all are started, and stopped in their
tracks (SIGSTOP) but for the one whose turn it is; each cell of the table goes round a few times, a second each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.bodies import Body, Rows, encode
from benchmarks.contenders import Contender, Target
from benchmarks.limit import Limit
from benchmarks.measure import PROTOCOLS, WARM_UP_S, Cell, check_target, measure_cell, send
from benchmarks.ours import Platform
from benchmarks.processes import ServerError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: each protocol with each number of connections, in so many turns of so many seconds."""

    protocols: Sequence[str]
    connections: Sequence[int]
    turns: int
    seconds: float
    rows: Rows
    expected: Rows
    take_limit: Callable[[int], Limit]  # of rows a call


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A way in to a server that runs: the server itself, or what stands before or behind its gateway."""

    owner: Contender
    view: Contender
    target: Target
    body: Body


def measure_in_turns(contenders: Sequence[Contender], plan: Plan) -> tuple[list[Cell], list[Limit]]:
    """Start all, measure every cell of each in turns, and end all; a server that fails has cells that say so."""
    cells: list[Cell] = []
    limits: list[Limit] = []
    with ExitStack() as stack:
        running = []
        for contender in contenders:
            say(f"starts: {contender.title}")
            failed = _enter(stack, contender)
            if failed:
                say(f"{contender.title}: {failed}")
                cells += _empty_cells(contender, plan.protocols, plan, failed.splitlines()[0])
            else:
                running.append(contender)
        for contender in running:  # not before: others may start for so long that who stands still is given up as dead
            _pause(contender)
        for protocol in plan.protocols:
            say(PROTOCOLS[protocol].title)
            entries, wrong = _entries(running, protocol, plan)
            cells += wrong
            for connections in plan.connections:
                for turn in range(plan.turns):
                    cells += [_take_turn(entry, protocol, connections, plan) for entry in _rotated(entries, turn)]
                limits.append(plan.take_limit(PROTOCOLS[protocol].rows))
                _say_best(cells, protocol, connections)
    return cells, limits


def views(contender: Contender) -> list[Contender]:
    """Return the other ways in to a contender's processes, measured while it runs."""
    return list(contender.views()) if isinstance(contender, Platform) else []


def say(text: str) -> None:
    """Tell who waits how far it is."""
    print(text, file=sys.stderr, flush=True)


def _enter(stack: ExitStack, contender: Contender) -> str:
    """Start a server; return why it does not run."""
    stack.callback(_end, contender)
    try:
        contender.start()
    except ServerError as error:
        return str(error)
    return ""


def _end(contender: Contender) -> None:
    _resume(contender)
    contender.stop()


def _entries(running: Sequence[Contender], protocol: str, plan: Plan) -> tuple[list[_Entry], list[Cell]]:
    """Return the ways in that speak a protocol and answer it rightly, and cells that say what is wrong with others."""
    entries: list[_Entry] = []
    wrong: list[Cell] = []
    rows = PROTOCOLS[protocol].rows
    for contender in running:
        with _let_run(contender):
            for view in [contender, *views(contender)]:
                target = view.target(PROTOCOLS[protocol].route)
                if target is None:
                    continue
                body = encode(target.form, plan.rows[:rows])
                fault = check_target(target, body, plan.expected[:rows])
                if fault:
                    wrong += _empty_cells(view, [protocol], plan, fault)
                else:
                    entries.append(_Entry(owner=contender, view=view, target=target, body=body))
    return entries, wrong


def _take_turn(entry: _Entry, protocol: str, connections: int, plan: Plan) -> Cell:
    with _let_run(entry.owner):
        try:
            send(entry.target, entry.body, connections=connections, seconds=WARM_UP_S)
            return measure_cell(
                entry.view, protocol, entry.target, entry.body, connections=connections, seconds=plan.seconds
            )
        except ServerError as error:
            note = str(error).splitlines()[0]
            say(f"  {entry.view.title}: {note}")
            return Cell(contender=entry.view.name, protocol=protocol, connections=connections, note=note)


def _rotated(entries: Sequence[_Entry], turn: int) -> list[_Entry]:
    """Return them beginning with another one each turn, so that none is always the first."""
    first = turn % len(entries) if entries else 0
    return [*entries[first:], *entries[:first]]


def _empty_cells(contender: Contender, protocols: Sequence[str], plan: Plan, note: str) -> list[Cell]:
    return [
        Cell(contender=contender.name, protocol=protocol, connections=count, note=note)
        for protocol in protocols
        for count in plan.connections
    ]


def _say_best(cells: Sequence[Cell], protocol: str, connections: int) -> None:
    rates: dict[str, list[float]] = {}
    for cell in cells:
        if (cell.protocol, cell.connections) == (protocol, connections) and not cell.note:
            rates.setdefault(cell.contender, []).append(cell.requests_per_s)
    told = "; ".join(f"{name} {min(found):.0f} to {max(found):.0f}" for name, found in rates.items())
    say(f"  {connections:4} connections, requests/s: {told}")


@contextmanager
def _let_run(contender: Contender) -> Iterator[None]:
    _resume(contender)
    try:
        yield
    finally:
        _pause(contender)


def _pause(contender: Contender) -> None:
    for server in contender.servers:
        server.pause()


def _resume(contender: Contender) -> None:
    for server in contender.servers:
        server.resume()
