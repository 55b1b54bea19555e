"""Takes the embedding out of what an engine answered: it is for monitoring alone."""

from __future__ import annotations

from aiplatform.artifacts import Manifest
from inference.engines import Array, Arrays
from inference.recording_api import CallRows


def take_embedding(manifest: Manifest, outputs: Arrays) -> tuple[Arrays, Array | None]:
    """Return the outputs that a client sees, and the embedding (rows, dimensions) of a model that has one.

    The mapping given may be others', too; it stays as it is.
    """
    if manifest.embedding is None:
        return outputs, None
    hidden = manifest.embedding.name
    return {name: array for name, array in outputs.items() if name != hidden}, outputs.get(hidden)


def set_embedding_apart(manifest: Manifest, call: CallRows) -> None:
    """Do the same for all rows of an engine call, once."""
    if call.embedding is None:
        call.outputs, call.embedding = take_embedding(manifest, call.outputs)
