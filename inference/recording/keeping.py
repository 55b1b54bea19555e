"""Keeps whole predictions for the prediction store: samples, applies the policy, writes to a spool of its own.

Runs in the recorder's thread, on events whose arrays are still there. What a policy redacts or hashes
never leaves memory. The spool has its own folder and limit, so that whole inputs cannot push out the
columns that statistics are made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from zlib import crc32

import numpy as np
import structlog

from aiplatform.contracts.columns import Numbers, PredictionIds, Texts
from aiplatform.contracts.monitoring import StorePolicy
from aiplatform.features import PredictionColumns, predicted_columns
from aiplatform.http.codec import encode_packed
from aiplatform.predictions.pseudonyms import pseudonyms
from aiplatform.predictions.rows import Array, StoredRows, StoreRows, TensorColumn, row_bytes
from inference.recording.pieces import Piece, own_pieces, stack
from inference.recording.spool import Spool
from inference.recording_api import Arrays, PredictionEvent

log = structlog.get_logger(__name__)

FORM = b"stored-rows-1"  # msgpack of StoreRows
ALL_DIGESTS = 2**32
WRITE_BYTES = 8 * 1024 * 1024
ALL_INPUTS = ""  # the name under which the pseudonym of all inputs together stands
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def sample(events: Sequence[PredictionEvent], share: float) -> list[PredictionEvent]:
    """Return those whose prediction belongs to a share of all; every process says the same of it."""
    bound = share * ALL_DIGESTS
    return [event for event in events if crc32(event.prediction_id.encode()) < bound]


def trace_id_of(traceparent: str) -> str | None:
    """Return the trace id of a W3C traceparent; None if it is none (https://www.w3.org/TR/trace-context/)."""
    found = _TRACE_PARENT.fullmatch(traceparent.strip())
    return found[1] if found and found[1].strip("0") else None


class RowKeeper:
    """Whole rows of one process until the spool has them; used by one thread, but for `choose`.

    `secret` makes pseudonyms; without one there are no subjects and no hashes. `on_drop` is told rows
    and reason of what was sampled and is lost.
    """

    def __init__(
        self,
        *,
        policy_of: Callable[[str], StorePolicy | None],
        spool: Spool,
        secret: str,
        on_drop: Callable[[int, str], None],
    ) -> None:
        self._policy_of = policy_of
        self._spool = spool
        self._secret = secret
        self._on_drop = on_drop
        self._parts: list[StoredRows] = []
        self._bytes = 0
        self._has_spool = False

    def start(self) -> None:
        """Open the spool."""
        try:
            self._spool.open()
            self._has_spool = True
        except OSError as error:
            log.error("store_spool_unusable", error=str(error), consequence="no whole predictions are kept")

    def stop(self) -> None:
        """Give the spool up."""
        if self._has_spool:
            self._spool.close()

    def choose(self, events: Sequence[PredictionEvent]) -> list[PredictionEvent]:
        """Return the sampled ones of some events; quick, and from any thread. Where there is no policy, none is."""
        chosen: list[PredictionEvent] = []
        endpoints = {source.endpoint for source in {event.source for event in events}}
        for endpoint in endpoints:
            policy = self._policy_of(endpoint)
            is_all = len(endpoints) == 1
            theirs = events if is_all else [event for event in events if event.source.endpoint == endpoint]
            if policy is None:
                self._on_drop(sum([event.rows for event in theirs]), "no_policy")
            elif policy.sample_share > 0:
                chosen += sample(theirs, policy.sample_share)
        return chosen

    def keep(self, events: Sequence[PredictionEvent]) -> None:
        """Take the sampled ones of some events; never raises."""
        for group in _grouped(self.choose(events)).values():
            policy = self._policy_of(group[0].source.endpoint)
            if policy is not None:
                self._keep_group(group, policy)
        if self._bytes >= WRITE_BYTES:
            self.write()

    def write(self) -> None:
        """Put what was kept on disk; what the disk refuses is counted and lost."""
        if not self._parts:
            return
        order = StoreRows(parts=tuple(self._parts))
        self._parts, self._bytes = [], 0
        try:
            if not self._has_spool:
                raise OSError("there is no spool")
            self._spool.append_body(encode_packed(order), rows=order.row_count)
        except OSError as error:
            log.error("stored_rows_lost", rows=order.row_count, error=str(error))
            self._on_drop(order.row_count, "unwritable")

    def _keep_group(self, events: list[PredictionEvent], policy: StorePolicy) -> None:
        large: list[PredictionEvent] = []
        small: list[PredictionEvent] = []
        for event in events:
            (large if _row_bytes(event.inputs) > policy.max_row_bytes else small).append(event)
        for some, how in ((small, policy.inputs), (large, "hash" if policy.inputs == "full" else policy.inputs)):
            if not some:
                continue
            try:
                part = pack_rows(some, policy, inputs=how, secret=self._secret)
            except Exception:  # whatever the arrays hold, recording goes on
                log.exception("rows_not_stored", endpoint=some[0].source.endpoint, version=some[0].source.version)
                self._on_drop(sum([event.rows for event in some]), "unfit")
                continue
            self._parts.append(part)
            self._bytes += part.size_bytes


def pack_rows(events: Sequence[PredictionEvent], policy: StorePolicy, *, inputs: str, secret: str) -> StoredRows:
    """Return events of one artifact and shape as a policy keeps them; `inputs` is 'full', 'hash' or 'none'.

    Raises: InvalidInputError or ValueError if their arrays do not stack.
    """
    source = events[0].source
    sizes = np.array([event.rows for event in events])
    rows = int(sizes.sum())
    pieces = list(own_pieces(events))
    asked = stack([piece.inputs for piece in pieces]) if pieces else {}
    said = stack([piece.outputs for piece in pieces]) if pieces else {}
    predicted = predicted_columns(said, source.labels) if said else PredictionColumns()
    kept, hashes = _kept(asked, policy, inputs=inputs, secret=secret)
    embedding = _embedding(pieces) if keeps_all_inputs(policy) else None
    return StoredRows(
        endpoint=source.endpoint,
        model=source.model,
        version=source.version,
        artifact_digest=source.artifact_digest,
        row_count=rows,
        prediction_ids=PredictionIds.pack([e.prediction_id for e in events], None if (sizes == 1).all() else sizes),
        rows=Numbers.pack(np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes), "u4"),
        times_s=Numbers.pack(np.repeat([event.time_s for event in events], sizes)),
        latencies_ms=Numbers.pack(np.repeat([event.latency_ms for event in events], sizes), "f4"),
        http_statuses=Numbers.pack(np.repeat([event.http_status for event in events], sizes), "u2"),
        trace_ids=_texts([trace_id_of(e.traceparent) if e.traceparent else None for e in events], sizes),
        subjects=_texts(_subjects(events, secret), sizes),
        predicted_labels=None if predicted.codes is None else Texts.pack_codes(predicted.codes, predicted.texts),
        confidences=None if predicted.confidences is None else Numbers.pack(predicted.confidences),
        predicted_values=None if predicted.values is None else Numbers.pack(predicted.values),
        inputs={name: TensorColumn.pack(array) for name, array in kept.items()},
        outputs={} if row_bytes(list(said.values())) > policy.max_row_bytes else
        {name: TensorColumn.pack(array) for name, array in said.items()},
        embedding=None if embedding is None else TensorColumn.pack(embedding),
        hashes=hashes,
        class_labels=tuple(source.labels),
        is_whole=bool(asked) and kept.keys() == asked.keys(),
    )  # fmt: skip


def keeps_all_inputs(policy: StorePolicy) -> bool:
    """Say whether a policy keeps inputs as they are, all of them: what is made of them may be kept only then."""
    return policy.inputs == "full" and not (policy.kept_features or policy.redacted_features or policy.hashed_features)


def _embedding(pieces: Sequence[Piece]) -> Array | None:
    """Return the embeddings of pieces of one shape, (rows, dimensions); None unless all have one."""
    found = [piece.embedding for piece in pieces if piece.embedding is not None]
    return np.concatenate(found) if found and len(found) == len(pieces) else None


def _kept(asked: Arrays, policy: StorePolicy, *, inputs: str, secret: str) -> tuple[Arrays, dict[str, tuple[str, ...]]]:
    """Return the inputs that are kept as they are, and the pseudonyms of those that are not."""
    if inputs != "full":
        wanted = bool(asked) and inputs == "hash" and bool(secret)
        return {}, {ALL_INPUTS: tuple(pseudonyms(_row_contents(asked), secret))} if wanted else {}
    names = [name for name in asked if not policy.kept_features or name in policy.kept_features]
    hashed = [name for name in names if name in policy.hashed_features and name not in policy.redacted_features]
    whole = {
        name: asked[name]
        for name in names
        if name not in policy.redacted_features and name not in policy.hashed_features
    }
    if not secret:
        return whole, {}
    return whole, {name: tuple(pseudonyms(_row_contents({"": asked[name]}), secret)) for name in hashed}


def _row_contents(arrays: Mapping[str, Array]) -> Iterable[bytes]:
    """Give the content of each row as bytes that are the same for equal rows only."""
    rows = len(next(iter(arrays.values())))
    for i in range(rows):
        yield b"".join(name.encode() + b"\0" + _content(array[i]) + b"\0" for name, array in arrays.items())


def _content(values: Array) -> bytes:
    if values.dtype.kind != "O":
        return values.tobytes()
    items = [item if isinstance(item, bytes) else str(item).encode() for item in np.asarray(values).reshape(-1)]
    return b"".join(b"%d:" % len(item) + item for item in items)


def _subjects(events: Sequence[PredictionEvent], secret: str) -> list[str | None]:
    named = {event.subject for event in events if event.subject}
    if not named or not secret:
        return [None] * len(events)
    known = dict(zip(named, pseudonyms(named, secret), strict=True))
    return [known.get(event.subject) for event in events]


def _texts(values: Sequence[str | None], sizes: Array) -> Texts | None:
    if not any(values):
        return None
    return Texts.pack(value for value, size in zip(values, sizes.tolist(), strict=True) for _ in range(size))


def _grouped(events: Iterable[PredictionEvent]) -> dict[object, list[PredictionEvent]]:
    """Return events by artifact, shapes and types."""
    groups: dict[object, list[PredictionEvent]] = {}
    for event in events:
        arrays = [*(event.inputs or {}).items(), ("", None), *(event.outputs or {}).items()]
        arrays.append(("", event.embedding))
        shapes = tuple([(name, a.shape[1:], a.dtype) if a is not None else None for name, a in arrays])
        groups.setdefault((event.source, shapes), []).append(event)
    return groups


def _row_bytes(inputs: Arrays | None) -> int:
    if not inputs:
        return 0
    return sum(_largest_row(array) for array in inputs.values())


def _largest_row(array: Array) -> int:
    if array.dtype.kind != "O":
        return array.nbytes // max(1, len(array))
    return max((sum(len(item or "") for item in np.asarray(row).reshape(-1)) for row in array), default=0)
