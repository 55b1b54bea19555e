"""Takes the embedding out of what an engine answered: it is for monitoring alone."""

from __future__ import annotations

from aiplatform.artifacts import Manifest
from inference.engines import Array, Arrays


def take_embedding(manifest: Manifest, outputs: Arrays) -> tuple[Arrays, Array | None]:
    """Return the outputs that a client sees, and the embedding (rows, dimensions) of a model that has one.

    The mapping given may be others', too; it stays as it is.
    """
    if manifest.embedding is None:
        return outputs, None
    hidden = manifest.embedding.name
    return {name: array for name, array in outputs.items() if name != hidden}, outputs.get(hidden)
