"""What engines share: naming what a model returned, and refusing a model that is not as described."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError, InvalidInputError
from inference.engines.base import Arrays


def named_outputs(model: str, names: Sequence[str], values: Sequence[Any]) -> Arrays:
    """Return arrays by name for outputs that come in the order of the names.

    Raises: ArtifactError if their number differs.
    """
    if len(values) != len(names):
        raise ArtifactError(f"{model} returned {len(values)} outputs; its signature has {len(names)}")
    return dict(zip(names, values, strict=True))


def check_same_names(manifest: Manifest, kind: str, described: Iterable[str], found: Iterable[str]) -> None:
    """Raise ArtifactError unless the model has every tensor that the manifest describes, and no other input."""
    wanted, have = set(described), set(found)
    if wanted - have or (kind == "inputs" and have - wanted):
        raise ArtifactError(
            f"{manifest.name} version {manifest.version}: the manifest's {kind} are {sorted(wanted)}, "
            f"the model's are {sorted(have)}"
        )


def as_texts(name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a BYTES tensor with each element as text, for engines that know no bytes.

    Raises: InvalidInputError if an element is not UTF-8.
    """
    try:
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"input '{name}' must hold UTF-8 for this engine: {error}") from error
    filled = np.empty(len(texts), dtype=object)
    filled[:] = texts
    return filled.reshape(array.shape)
