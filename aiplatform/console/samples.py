"""A row to start from in the playground: a real input out of the artifact of the version that serves."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from aiplatform.artifacts import WARMUP_INPUTS
from aiplatform.contracts.inference import EndpointInfo
from aiplatform.errors import PlatformError
from aiplatform.services import training_client
from aiplatform.storage import open_filesystem


def find_sample_row(endpoint: EndpointInfo) -> dict[str, Any] | None:
    """Return one row by input name, in TF Serving's row form; None if it cannot be had now."""
    shares = sorted(endpoint.traffic, key=lambda share: share.weight)
    if not shares:
        return None
    try:
        version = training_client().get_model_version(endpoint.model, str(shares[-1].version))
        return read_sample_row(version.artifact_uri)
    except (PlatformError, OSError, ValueError):
        return None  # the text area then starts empty; nothing else depends on it


def read_sample_row(artifact_uri: str) -> dict[str, Any]:
    """Return the first warm-up row of an artifact, each input without its batch dimension.

    Raises: OSError or ValueError if it cannot be read.
    """
    filesystem, root = open_filesystem(artifact_uri)
    raw = filesystem.cat_file(f"{root}/{WARMUP_INPUTS}")
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        return {name: _plain(arrays[name][0]) for name in arrays.files}


def _plain(value: np.ndarray[Any, Any]) -> Any:
    plain = value.tolist()
    while isinstance(plain, list) and len(plain) == 1:
        plain = plain[0]
    return round(plain, 6) if isinstance(plain, float) else plain
