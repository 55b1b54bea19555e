"""The arrays of many requests, in as few pieces as they were computed in.

Requests that shared an engine call, and come one after the other as they stood in it, are one piece: its arrays
are taken as they are, without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from inference.recording_api import Array, Arrays, CallRows, PredictionEvent


class Piece(NamedTuple):
    """Rows of one engine call; every array has `rows` rows, if the engine is right."""

    rows: int
    inputs: Arrays
    outputs: Arrays
    embedding: Array | None


def own_pieces(events: Sequence[PredictionEvent]) -> Iterator[Piece]:
    """Give the rows of answered events, in their order."""
    call: CallRows | None = None
    start = stop = 0
    for event in events:
        if event.call is call and event.start == stop:
            stop += event.rows
            continue
        if call is not None:
            yield _piece(call, start, stop)
        call, start, stop = event.call, event.start, event.start + event.rows
    if call is not None:
        yield _piece(call, start, stop)


def choose_rows(pieces: Sequence[Piece], places: Array) -> list[Piece]:
    """Return what is left of pieces with the rows at `places`, rising, counted over all of them."""
    chosen = []
    start = 0
    for piece in pieces:
        first, last = np.searchsorted(places, (start, start + piece.rows)).tolist()
        if first < last:
            chosen.append(_take(piece, places[first:last] - start))
        start += piece.rows
    return chosen


def _take(piece: Piece, places: Array) -> Piece:
    return Piece(
        len(places),
        {name: array[places] for name, array in piece.inputs.items()},
        {},
        None if piece.embedding is None else piece.embedding[places],
    )


def stack(rows: Sequence[Arrays]) -> Arrays:
    """Return the arrays one after the other; ValueError or KeyError if their shapes or names differ."""
    if len(rows) == 1:
        return rows[0]
    names = rows[0].keys()
    if any(len(arrays) != len(names) for arrays in rows):
        raise KeyError("some requests have other arrays")
    return {name: np.concatenate([arrays[name] for arrays in rows]) for name in names}


def _piece(call: CallRows, start: int, stop: int) -> Piece:
    rows = stop - start
    if rows == call.rows:
        return Piece(rows, call.inputs, call.outputs, call.embedding)
    return Piece(
        rows,
        {name: array[start:stop] for name, array in call.inputs.items()},
        {name: array[start:stop] for name, array in call.outputs.items()},
        None if call.embedding is None else call.embedding[start:stop],
    )
