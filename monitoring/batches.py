"""Turns a batch of predictions into window contents and blocks, one a minute, in columns and not in rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.contracts.columns import ID_BYTES, NUMBER_TYPES, Numbers, Texts
from aiplatform.contracts.monitoring import PredictionBatch
from aiplatform.embeddings import MAX_DIMENSIONS, embedding_column
from aiplatform.errors import InvalidInputError
from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from aiplatform.scores import CODE, MAX_CLASSES
from monitoring.blocks import BlockContent, sort_rows
from monitoring.latencies import add_latencies
from monitoring.performance.expectations import Expectations
from monitoring.performance.labelled_rows import NO_SEGMENT
from monitoring.performance.observed import Observed, bin_confidences, bin_scores, hash_rows, sum_numbers
from monitoring.windows import MINUTE_S, WindowContent

MAX_TEXT = 200  # characters of a category or label that are told apart
MAX_CLOCK_AHEAD_S = 60.0
MAX_ID = 64  # characters of a prediction id

Array = np.ndarray[Any, Any]
Limits = tuple[float, float]


@dataclass(kw_only=True)
class MinuteContent:
    """What one batch says of one minute (since the epoch): its counts, and its answered rows if there are any."""

    minute: int
    content: WindowContent
    block: BlockContent | None
    observed: Observed


class BatchColumns:
    """A batch's columns as arrays of shape (rows,), checked; features and embedding of shape (watched rows,).

    `watched` has the places of those rows. Raises: InvalidInputError unless all columns have the batch's length and
    the names fit. The first `max_features` features are taken. `expectations` follow from the baseline.
    """

    def __init__(self, batch: PredictionBatch, *, max_features: int, expectations: Expectations | None = None) -> None:
        _check_names(batch)
        self.batch = batch
        self.limits = expectations.ranges if expectations is not None else {}
        self.size = batch.row_count
        self.rows = batch.rows.unpack(self.size, "rows").astype(np.int64)
        self.times_s = batch.times_s.unpack(self.size, "times_s").astype(np.float64)
        self.latencies_ms = batch.latencies_ms.unpack(self.size, "latencies_ms").astype(np.float64)
        self.statuses = batch.http_statuses.unpack(self.size, "http_statuses").astype(np.int64)
        self.watched = _watched(batch)
        watched = len(self.watched)
        numbers = {name: _numbers(column, watched, name) for name, column in batch.numeric_features.items()}
        categories = {name: _texts(column, watched, name) for name, column in batch.category_features.items()}
        self.numbers = dict(list(numbers.items())[:max_features])
        self.categories = dict(list(categories.items())[: max_features - len(self.numbers)])
        self.labels = (
            None if batch.predicted_labels is None else _texts(batch.predicted_labels, self.size, "predicted_labels")
        )
        outputs: dict[str, Numbers | None] = {"confidence": batch.confidences, "value": batch.predicted_values}
        self.outputs = {
            name: _numbers(column, self.size, name) for name, column in outputs.items() if column is not None
        }
        dimensions = {embedding_column(i): column for i, column in enumerate(batch.embedding)}
        self.embedding = {name: _numbers(column, watched, name) for name, column in dimensions.items()}
        self.scores = _scores(batch)
        self.error_codes = None if batch.error_codes is None else _texts(batch.error_codes, self.size, "error_codes")
        self.expectations = expectations
        self.segments = self._encode_segments()
        _check_values(batch.batch_id, self)

    def _encode_segments(self) -> Array | None:
        """Return the segments of all rows, shape (rows, features); rows that are not watched are in none."""
        if self.expectations is None:
            return None
        found = self.expectations.segmentation.encode(len(self.watched), self.numbers, self.categories)
        if found is None or len(self.watched) == self.size:
            return found
        of_all = np.full((self.size, found.shape[1]), NO_SEGMENT, found.dtype)
        of_all[self.watched] = found
        return of_all


def _numbers(column: Numbers, rows: int, name: str) -> Array:
    return column.unpack(rows, name).astype(np.float64, copy=False)


def _texts(column: Texts, rows: int, name: str) -> tuple[Array, list[str]]:
    return column.unpack(rows, name), [text[:MAX_TEXT] for text in column.texts]


def _watched(batch: PredictionBatch) -> Array:
    """Return the places of the rows that have features, rising."""
    if batch.watched is None:
        return np.arange(batch.row_count)
    item_bytes = NUMBER_TYPES.get(batch.watched.dtype, np.dtype("u1")).itemsize
    places = batch.watched.unpack(len(batch.watched.raw) // item_bytes, "watched").astype(np.int64)
    if places.size and (places[0] < 0 or places[-1] >= batch.row_count or np.any(np.diff(places) <= 0)):
        raise InvalidInputError(
            f"batch '{batch.batch_id}': watched must have rising places below {batch.row_count}, the number of rows"
        )
    return places


def _check_names(batch: PredictionBatch) -> None:
    limits = {"batch_id": (batch.batch_id, 80), "endpoint": (batch.endpoint, 63), "model": (batch.model, 63),
              "artifact_digest": (batch.artifact_digest, 80), "artifact_uri": (batch.artifact_uri, 1000)}  # fmt: skip
    for name, (text, limit) in limits.items():
        if len(text) > limit or (not text and name in ("batch_id", "endpoint", "model")):
            raise InvalidInputError(f"{name} must have 1 to {limit} characters, not {len(text)}")
    if batch.version < 0 or batch.row_count < 0:
        raise InvalidInputError(f"batch '{batch.batch_id}': version and rows count from 0 upwards")
    if len(batch.embedding) > MAX_DIMENSIONS:
        raise InvalidInputError(
            f"batch '{batch.batch_id}': embedding has {len(batch.embedding)} dimensions; at most {MAX_DIMENSIONS} fit"
        )
    ids = batch.prediction_ids
    if any(len(name) > MAX_ID or not name for name in ids.names):
        raise InvalidInputError(f"batch '{batch.batch_id}': a prediction id must have 1 to {MAX_ID} characters")
    if len(ids.names or ids.raw) != batch.row_count * (1 if ids.names else ID_BYTES):
        raise InvalidInputError(
            f"batch '{batch.batch_id}': prediction_ids has {len(ids)} rows, the batch {batch.row_count}"
        )


def _scores(batch: PredictionBatch) -> Array | None:
    """Return the score codes, shape (rows, columns)."""
    if batch.scores is None:
        return None
    classes = len(batch.scores.classes)
    columns = 1 if classes == 2 else classes
    if not 2 <= classes <= MAX_CLASSES or len(batch.scores.codes) != batch.row_count * columns * CODE.itemsize:
        raise InvalidInputError(
            f"batch '{batch.batch_id}': scores of {classes} classes have {len(batch.scores.codes)} bytes, which is not "
            f"{columns} of {CODE.itemsize} bytes for each of {batch.row_count} rows (2 to {MAX_CLASSES} classes)"
        )
    return np.frombuffer(batch.scores.codes, CODE).reshape(batch.row_count, columns)


def _check_values(batch_id: str, columns: BatchColumns) -> None:
    if columns.size and (columns.rows.min() < 0 or columns.rows.max() >= 2**31):
        raise InvalidInputError(f"batch '{batch_id}': rows count from 0 upwards, to less than 2^31")


def split_by_minute(columns: BatchColumns, *, oldest_s: float, now_s: float) -> Iterator[MinuteContent]:
    """Give the batch's minutes; rows before `oldest_s` are left out, times ahead of `now_s` are taken as now."""
    times = columns.times_s
    times = np.where(np.isfinite(times) & (times <= now_s + MAX_CLOCK_AHEAD_S), times, now_s)
    minutes = (times // MINUTE_S).astype(np.int64)
    minutes[times < oldest_s] = -1
    for minute in np.unique(minutes[minutes >= 0]).tolist():
        chosen = minutes == minute
        yield MinuteContent(
            minute=minute,
            content=_content(columns, chosen),
            block=_block(columns, chosen, minute, times),
            observed=_observed(columns, chosen),
        )


def _content(columns: BatchColumns, chosen: Array) -> WindowContent:
    """Return counts and sketches of the chosen rows, mask of shape (rows,)."""
    is_answered = chosen & (columns.statuses < 400)
    is_request = chosen & (columns.rows == 0)
    latencies = columns.latencies_ms[is_answered & is_request]
    content = WindowContent(
        rows=int(is_answered.sum()),
        requests=int(is_request.sum()),
        errors=int((is_request & (columns.statuses >= 500)).sum()),
        rejected=int((is_request & (columns.statuses >= 400) & (columns.statuses < 500)).sum()),
        profile=_profile(columns, is_answered),
    )
    add_latencies(content.latency, latencies)
    if "confidence" in columns.outputs:
        known = columns.outputs["confidence"][is_answered]
        content.confidence_sum = float(np.nansum(known))
        content.confidence_count = int(np.isfinite(known).sum())
    return content


def _observed(columns: BatchColumns, chosen: Array) -> Observed:
    is_answered = chosen & (columns.statuses < 400)
    observed = Observed(refused=_refused(columns, chosen & (columns.statuses >= 400)))
    if columns.scores is not None and columns.scores.shape[1] == 1:
        observed.sure = bin_scores(columns.scores[is_answered, 0])
    elif "confidence" in columns.outputs:
        observed.sure = bin_confidences(columns.outputs["confidence"][is_answered])
    is_watched = is_answered[columns.watched]
    if columns.numbers or columns.categories:
        hashes = hash_rows(columns.numbers, columns.categories, is_watched)
        observed.hashed = len(hashes)
        observed.means = sum_numbers(columns.numbers, is_watched)
        for value in hashes.tolist():
            observed.distinct.update(value)
    if columns.expectations is not None:
        observed.checked = int(is_watched.sum())
        strange = columns.expectations.count_strange(columns.numbers, columns.categories, is_watched)
        observed.strange.update({name: count for name, count in strange.items() if count})
    return observed


def _refused(columns: BatchColumns, chosen: Array) -> Counter[str]:
    if columns.error_codes is None:
        return Counter()
    codes, texts = columns.error_codes
    counts = np.bincount(codes[chosen & (columns.rows == 0)] + 1, minlength=len(texts) + 1).tolist()
    return Counter({text: count for text, count in zip(texts, counts[1:], strict=True) if count})


def _profile(columns: BatchColumns, chosen: Array) -> DataProfile:
    rows = int(chosen.sum())
    if not rows:
        return DataProfile()
    watched = chosen[columns.watched]
    features: dict[str, FeatureProfile] = {
        n: _profile_numbers(c[watched], columns.limits.get(n)) for n, c in columns.numbers.items()
    }
    features |= {name: _profile_texts(codes[watched], texts) for name, (codes, texts) in columns.categories.items()}
    outputs: dict[str, FeatureProfile] = {n: _profile_numbers(c[chosen]) for n, c in columns.outputs.items()}
    outputs |= {n: _profile_numbers(c[watched]) for n, c in columns.embedding.items()}
    if columns.labels is not None:
        codes, texts = columns.labels
        outputs["label"] = _profile_texts(codes[chosen], texts)
    return DataProfile(rows=rows, features=features, outputs=outputs)


def _block(columns: BatchColumns, chosen: Array, minute: int, times: Array) -> BlockContent | None:
    """Return the answered rows of the chosen ones, sorted by id; None if there are none."""
    places = np.flatnonzero(chosen & (columns.statuses < 400))
    if not places.size:
        return None
    batch = columns.batch
    ids = batch.prediction_ids
    keys, order = sort_rows(ids, places)
    places = places[order]
    microseconds = np.floor((times[places] - minute * MINUTE_S) * 1e6)
    return BlockContent(
        minute=minute,
        keys=keys,
        rows=columns.rows[places],
        times_us=np.clip(microseconds, 0, MINUTE_S * 1_000_000 - 1).astype(np.uint32),
        names=[ids.names[place] for place in places.tolist()] if ids.names else (),
        label_codes=None if columns.labels is None else columns.labels[0][places],
        labels=() if columns.labels is None else columns.labels[1],
        confidences=columns.outputs["confidence"][places] if "confidence" in columns.outputs else None,
        values=columns.outputs["value"][places] if "value" in columns.outputs else None,
        scores=None if columns.scores is None else columns.scores[places],
        classes=() if batch.scores is None else [text[:MAX_TEXT] for text in batch.scores.classes],
        segments=None if columns.segments is None else columns.segments[places],
    )


def _profile_numbers(values: Array, limits: Limits | None = None) -> NumericProfile:
    profile = NumericProfile.for_window()
    profile.update(values, limits=limits)
    return profile


def _profile_texts(codes: Array, texts: list[str]) -> CategoryProfile:
    counts = np.bincount(codes + 1, minlength=len(texts) + 1).tolist()
    profile = CategoryProfile(missing=counts[0])
    profile.add_counts({text: count for text, count in zip(texts, counts[1:], strict=True) if count})
    return profile
