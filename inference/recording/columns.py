"""Turns prediction events into the columns that monitoring takes, many rows at a time.

Two steps: `digest_events` computes features of a few events and lets their arrays go;
`assemble_batches` joins what was digested into batches of columns.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import structlog

from aiplatform.contracts.columns import Numbers, PredictionIds, Texts
from aiplatform.contracts.monitoring import ClassScores, PredictionBatch
from aiplatform.features import PredictionColumns, extract_features, predicted_columns
from aiplatform.scores import CODE, MISSING
from inference.recording.pieces import Piece, choose_rows, own_pieces, stack
from inference.recording.watching import WatchedRows
from inference.recording_api import PredictionEvent, Source

log = structlog.get_logger(__name__)

CHUNK_ROWS = 256  # computed at once: a step of some tenths of a millisecond
CHUNK_BYTES = 4 * 1024 * 1024  # of inputs stacked at once, so that large images need no large copy

Array = np.ndarray[Any, Any]


class Artifact(NamedTuple):
    """What answered, and under which name."""

    endpoint: str
    model: str
    version: int
    artifact_uri: str
    artifact_digest: str


@dataclass(frozen=True)
class CodedTexts:
    """Texts row by row, shape (rows,): places in `texts`, -1 is none."""

    codes: Array
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Rows of one artifact that were computed together; every array has the shape (rows,).

    A column that is absent is missing in every row. Features and embedding have the rows that `watched` names by their
    places, shape (watched rows,); None: all of them.
    """

    artifact: Artifact
    ids: PredictionIds
    rows: Array
    times_s: Array
    latencies_ms: Array
    http_statuses: Array
    numbers: Mapping[str, Array]
    categories: Mapping[str, CodedTexts]
    labels: CodedTexts | None = None
    confidences: Array | None = None
    values: Array | None = None
    scores: Array | None = None  # (rows, columns)
    error_codes: CodedTexts | None = None
    embedding: Array | None = None  # (watched rows, dimensions)
    watched: Array | None = None

    @property
    def row_count(self) -> int:
        return len(self.rows)

    @property
    def watched_count(self) -> int:
        """Return how many rows have features."""
        return self.row_count if self.watched is None else len(self.watched)

    @property
    def size_bytes(self) -> int:
        """Return about what the rows take in a batch."""
        columns = 0 if self.scores is None else self.scores.shape[1]
        dimensions = 0 if self.embedding is None else self.embedding.shape[1]
        watched_bytes = 8 * len(self.numbers) + 4 * len(self.categories) + 4 * dimensions
        return self.row_count * (64 + 2 * columns) + self.watched_count * watched_bytes


def digest_events(
    events: Sequence[PredictionEvent], *, max_rows: int = CHUNK_ROWS, watch: WatchedRows | None = None
) -> Iterator[Part]:
    """Give the events' columns in parts of about `max_rows` rows, each of one artifact; no `watch`: all features."""
    for group in _group(events, _kind_of):
        for some in _cut(group, max_rows):
            if watch is not None and some[0].call is not None:
                watch.count(some[0].source, sum([event.rows for event in some]))
            try:
                yield _digest(some, watch)
            except Exception:  # noqa: BLE001 - arrays of different shapes or names do not stack
                for same in _group(some, _shapes_of):
                    yield _digest_safely(same, watch)


def assemble_batches(parts: Iterable[Part], *, replica: str, max_rows: int) -> list[PredictionBatch]:
    """Return batches of about `max_rows` rows, each of one artifact, in the order of arrival."""
    groups: dict[Artifact, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.artifact, []).append(part)
    batches = []
    for group in groups.values():
        some: list[Part] = []
        for part in group:
            if some and sum(p.row_count for p in some) + part.row_count > max_rows:
                batches.append(_assemble(some, replica))
                some = []
            some.append(part)
        batches.append(_assemble(some, replica))
    return batches


def build_batches(events: Sequence[PredictionEvent], *, replica: str, max_rows: int) -> list[PredictionBatch]:
    """Do both steps at once."""
    parts = digest_events(events, max_rows=min(CHUNK_ROWS, max_rows))
    return assemble_batches(parts, replica=replica, max_rows=max_rows)


def _group(events: Iterable[PredictionEvent], key_of: Callable[[PredictionEvent], Any]) -> list[list[PredictionEvent]]:
    groups: dict[Any, list[PredictionEvent]] = {}
    for event in events:
        key = key_of(event)
        if key in groups:
            groups[key].append(event)
        else:
            groups[key] = [event]
    return list(groups.values())


def _kind_of(event: PredictionEvent) -> tuple[Any, ...]:
    return event.source, event.call is None


def _shapes_of(event: PredictionEvent) -> tuple[Any, ...]:
    arrays = [*(event.inputs or {}).items(), *(event.outputs or {}).items()]
    return tuple([(name, array.shape[1:], array.dtype) for name, array in arrays])


def _cut(events: Sequence[PredictionEvent], max_rows: int) -> Iterator[Sequence[PredictionEvent]]:
    """Give events in pieces whose rows and bytes are bounded."""
    if sum([e.rows for e in events]) <= max_rows and sum([e.size_bytes for e in events]) <= CHUNK_BYTES:
        yield events
        return
    start = rows = size = 0
    for at, event in enumerate(events):
        if at > start and (rows + event.rows > max_rows or size + event.size_bytes > CHUNK_BYTES):
            yield events[start:at]
            start, rows, size = at, 0, 0
        rows += event.rows
        size += event.size_bytes
    yield events[start:]


def _digest(events: Sequence[PredictionEvent], watch: WatchedRows | None) -> Part:
    """Compute the columns of events that stack; ValueError or KeyError if these do not."""
    if events[0].call is None:
        return _part(events, {}, {}, PredictionColumns())
    pieces = list(own_pieces(events))
    rows = sum([piece.rows for piece in pieces])
    outputs = stack([piece.outputs for piece in pieces])
    predicted = predicted_columns(outputs, events[0].source.labels) if outputs else PredictionColumns()
    _check_length(rows, (predicted.codes, predicted.confidences, predicted.values))
    watched = None if watch is None else watch.choose(events[0].source, rows)
    if watched is not None:
        pieces = choose_rows(pieces, watched)
    features = extract_features(stack([piece.inputs for piece in pieces])) if pieces else {}
    _check_length(sum([piece.rows for piece in pieces]), features.values())
    numbers = {name: column for name, column in features.items() if column.dtype.kind == "f"}
    categories = {name: _coded(column) for name, column in features.items() if column.dtype.kind != "f"}
    return _part(events, numbers, categories, predicted, _embeddings(pieces), watched)


def _check_length(rows: int, columns: Iterable[Array | None]) -> None:
    for column in columns:
        if column is not None and len(column) != rows:
            raise ValueError(f"a column has {len(column)} rows, the requests {rows}")


def _embeddings(pieces: Sequence[Piece]) -> Array | None:
    """Return the rows' embeddings, shape (rows, dimensions), missing where one does not fit; None if there are none."""
    some = [piece.embedding for piece in pieces if piece.embedding is not None]
    width = next((embedding.shape[-1] for embedding in some if embedding.ndim == 2), 0)
    if not width:
        return None
    found = [
        piece.embedding
        if piece.embedding is not None and piece.embedding.shape == (piece.rows, width)
        else np.full((piece.rows, width), np.nan, np.float32)
        for piece in pieces
    ]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _digest_safely(events: Sequence[PredictionEvent], watch: WatchedRows | None) -> Part:
    try:
        return _digest(events, watch)
    except Exception:  # the count and the latency of a request are kept whatever its arrays hold
        source = events[0].source
        log.exception("features_not_extracted", endpoint=source.endpoint, version=source.version)
        return _part(events, {}, {}, PredictionColumns())


def _part(
    events: Sequence[PredictionEvent],
    numbers: dict[str, Array],
    categories: dict[str, CodedTexts],
    predicted: PredictionColumns,
    embedding: Array | None = None,
    watched: Array | None = None,
) -> Part:
    sources, ids, times_s, latencies_ms, http_statuses, _, _, sizes, _, error_codes, *_ = zip(*events, strict=True)
    source: Source = sources[0]
    counts = None if len(events) == sum(sizes) else np.array(sizes)  # one row each, most often

    def for_each_row(values: Sequence[float]) -> Array:
        return np.array(values) if counts is None else np.repeat(values, counts)

    return Part(
        artifact=Artifact(source.endpoint, source.model, source.version, source.artifact_uri, source.artifact_digest),
        ids=PredictionIds.pack(ids, counts),
        rows=_places(counts, len(events)),
        times_s=for_each_row(times_s),
        latencies_ms=for_each_row(latencies_ms),
        http_statuses=for_each_row(http_statuses),
        numbers=numbers,
        categories=categories,
        labels=None if predicted.codes is None else CodedTexts(predicted.codes, predicted.texts),
        confidences=predicted.confidences,
        values=predicted.values,
        scores=predicted.scores,
        error_codes=_coded(np.array([code or None for code in error_codes], object))
        if events[0].call is None
        else None,
        embedding=embedding,
        watched=watched,
    )


def _places(counts: Array | None, events: int) -> Array:
    """Return each row's place in its request."""
    if counts is None:
        return np.zeros(events, np.int64)
    places: Array = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _coded(column: Array) -> CodedTexts:
    packed = Texts.pack(column.tolist())
    return CodedTexts(packed.unpack(len(column), "category"), packed.texts)


def _assemble(parts: Sequence[Part], replica: str) -> PredictionBatch:
    counts, watched = [part.row_count for part in parts], [part.watched_count for part in parts]
    numbers = dict.fromkeys(name for part in parts for name in part.numbers)
    categories = dict.fromkeys(name for part in parts for name in part.categories)
    return PredictionBatch(
        batch_id=uuid.uuid4().hex,
        replica=replica,
        **parts[0].artifact._asdict(),
        row_count=sum(counts),
        prediction_ids=PredictionIds.join([part.ids for part in parts]),
        rows=Numbers.pack(np.concatenate([part.rows for part in parts]), "u4"),
        times_s=Numbers.pack(np.concatenate([part.times_s for part in parts])),
        latencies_ms=Numbers.pack(np.concatenate([part.latencies_ms for part in parts]), "f4"),
        http_statuses=Numbers.pack(np.concatenate([part.http_statuses for part in parts]), "u2"),
        numeric_features={name: _numbers(watched, [part.numbers.get(name) for part in parts]) for name in numbers},
        category_features={name: _texts(watched, [part.categories.get(name) for part in parts]) for name in categories},
        predicted_labels=_unless_empty(_texts, counts, [part.labels for part in parts]),
        confidences=_unless_empty(_numbers, counts, [part.confidences for part in parts]),
        predicted_values=_unless_empty(_numbers, counts, [part.values for part in parts]),
        scores=_scores(parts),
        error_codes=_unless_empty(_texts, counts, [part.error_codes for part in parts]),
        embedding=_dimensions(parts),
        watched=_watched(parts),
    )


def _watched(parts: Sequence[Part]) -> Numbers | None:
    """Return the places of all watched rows in the parts one after the other; None if each row is."""
    if all(part.watched is None for part in parts):
        return None
    found, start = [], 0
    for part in parts:
        found.append(start + (np.arange(part.row_count) if part.watched is None else part.watched))
        start += part.row_count
    return Numbers.pack(np.concatenate(found), "u4")


def _dimensions(parts: Sequence[Part]) -> tuple[Numbers, ...]:
    """Join embeddings dimension by dimension; missing where a part has none, or another number of dimensions."""
    width = next((part.embedding.shape[1] for part in parts if part.embedding is not None), 0)
    filled = [
        part.embedding
        if part.embedding is not None and part.embedding.shape[1] == width
        else np.full((part.watched_count, width), np.nan, np.float32)
        for part in parts
    ]
    return tuple(Numbers.pack(column, "f4") for column in np.concatenate(filled).T) if width else ()


def _scores(parts: Sequence[Part]) -> ClassScores | None:
    """Join the scores of parts with the classes of the first that has any; missing in the others."""
    first = next((part for part in parts if part.scores is not None and part.labels is not None), None)
    if first is None or first.scores is None or first.labels is None:
        return None
    classes, columns = first.labels.texts, first.scores.shape[1]
    filled = [
        part.scores
        if part.scores is not None and part.labels is not None and part.labels.texts == classes
        else np.full((part.row_count, columns), MISSING, CODE)
        for part in parts
    ]
    return ClassScores(classes=classes, codes=np.concatenate(filled).tobytes())


def _unless_empty(pack: Any, counts: Sequence[int], columns: Sequence[Any]) -> Any:
    return None if all(column is None for column in columns) else pack(counts, columns)


def _numbers(counts: Sequence[int], columns: Sequence[Array | None]) -> Numbers:
    """Join columns of `counts[i]` rows each; one that is None is missing in all of them."""
    filled = [
        np.full(count, np.nan) if column is None else column for count, column in zip(counts, columns, strict=True)
    ]
    return Numbers.pack(np.concatenate(filled))


def _texts(counts: Sequence[int], columns: Sequence[CodedTexts | None]) -> Texts:
    """Join such columns that may number their texts differently."""
    places: dict[str, int] = {}
    joined = []
    known: dict[tuple[str, ...], Array] = {}
    for count, column in zip(counts, columns, strict=True):
        if column is None:
            joined.append(np.full(count, -1))
            continue
        if column.texts not in known:
            known[column.texts] = np.array([places.setdefault(text, len(places)) for text in column.texts] + [-1])
        joined.append(known[column.texts][column.codes])  # -1 is the last place, which holds -1
    return Texts.pack_codes(np.concatenate(joined), list(places))
