"""Several sources as one: `all:digits|s3://bucket/labelled.npz`. What a retraining learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from aiplatform.errors import InvalidInputError
from training.data.dataset import Array, Dataset, Part

PREFIX = "all:"
SEPARATOR = "|"

LoadOne = Callable[[str], Dataset]


def is_combined(uri: str) -> bool:
    """Say whether a data URI names several sources."""
    return uri.startswith(PREFIX)


def combine_uris(uris: Sequence[str]) -> str:
    """Return the data URI of several sources; of one, its own.

    Raises: InvalidInputError without any.
    """
    parts = list(dict.fromkeys(part for uri in uris for part in split_uri(uri)))
    if not parts:
        raise InvalidInputError("data must name at least one source")
    return parts[0] if len(parts) == 1 else PREFIX + SEPARATOR.join(parts)


def split_uri(uri: str) -> list[str]:
    """Return the sources that a data URI names."""
    return [part.strip() for part in uri.removeprefix(PREFIX).split(SEPARATOR)] if is_combined(uri) else [uri]


def load_combined(uri: str, load: LoadOne) -> Dataset:
    """Return the rows of all sources, each split by itself, so that no source's test rows are learnt from.

    Labels are joined by name: a class that one source lacks is a class all the same.
    Raises: InvalidInputError if the sources have different inputs; as `load` for one that cannot be read.
    """
    names = split_uri(uri)
    if len(names) < 2 or not all(names):
        raise InvalidInputError(f"'{uri}' must name at least two sources, separated by '{SEPARATOR}'")
    sources = [load(name) for name in names]
    first = sources[0]
    for name, source in zip(names[1:], sources[1:], strict=True):
        _require_alike(names[0], first, name, source)
    labels = tuple(dict.fromkeys(label for source in sources for label in source.labels))
    content = hashlib.sha256("\n".join(source.fingerprint for source in sources).encode()).hexdigest()
    return Dataset(
        kind=first.kind,
        inputs=first.inputs,
        labels=labels,
        image=first.image,
        train=_join([(source.train, source.labels) for source in sources], labels),
        validation=_join([(source.validation, source.labels) for source in sources], labels),
        test=_join([(source.test, source.labels) for source in sources], labels),
        fingerprint=f"sha256:{content}",
        target=first.target,
    )


def _require_alike(first_name: str, first: Dataset, name: str, source: Dataset) -> None:
    if first.kind is not source.kind:
        raise InvalidInputError(f"'{first_name}' holds {first.kind.value}, '{name}' {source.kind.value}")
    if first.target is not source.target:
        raise InvalidInputError(
            f"the target is {first.target.value} in '{first_name}', and {source.target.value} in '{name}'"
        )
    mine = {spec.name: (spec.dtype, spec.shape) for spec in first.inputs}
    theirs = {spec.name: (spec.dtype, spec.shape) for spec in source.inputs}
    if mine != theirs:
        different = sorted(n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n))
        raise InvalidInputError(f"'{name}' does not fit '{first_name}': the inputs differ in {', '.join(different)}")


def _join(parts: Sequence[tuple[Part, tuple[str, ...]]], labels: tuple[str, ...]) -> Part:
    names = parts[0][0].inputs.keys()
    inputs = {name: np.concatenate([part.inputs[name] for part, _ in parts]) for name in names}
    return Part(inputs=inputs, labels=np.concatenate([_renumbered(part.labels, own, labels) for part, own in parts]))


def _renumbered(codes: Array, own: tuple[str, ...], labels: tuple[str, ...]) -> Array:
    if codes.dtype.kind == "f":
        return codes
    places = np.array([labels.index(label) for label in own], dtype=np.int64)
    renumbered: Array = places[codes] if len(codes) else codes.astype(np.int64)
    return renumbered
