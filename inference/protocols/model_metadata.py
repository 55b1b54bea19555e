"""What V2 tells of the server and of a model: health, metadata and configuration."""

from __future__ import annotations

from typing import Any

from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.json_body import dump
from inference.protocols.messages import Encoded

SERVER_NAME = "aiplatform"
# Only what works whole; of model_repository that is the index, in the manner of the sub-names in use.
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository(index)",
    "statistics",
)


def encode_server(version: str) -> Encoded:
    """Return what the server is and which extensions it has."""
    return Encoded(dump({"name": SERVER_NAME, "version": version, "extensions": EXTENSIONS}))


def encode_model(model: str, versions: list[int], platform: str, signature: Signature) -> Encoded:
    """Return a model's inputs and outputs."""
    return Encoded(
        dump(
            {
                "name": model,
                "versions": [str(version) for version in versions],
                "platform": platform,
                "inputs": [_tensor_metadata(spec) for spec in signature.inputs],
                "outputs": [_tensor_metadata(spec) for spec in signature.outputs],
            }
        )
    )


def encode_config(model: str, version: int, platform: str, signature: Signature, *, max_batch_rows: int) -> Encoded:
    """Return the configuration as Triton lays it out.

    `max_batch_rows` 0: rows are not batched, and a tensor's dims include its first dimension.
    """
    skipped = 1 if max_batch_rows else 0
    return Encoded(
        dump(
            {
                "name": model,
                "platform": platform,
                "backend": platform.partition("_")[0],
                "version_policy": {"specific": {"versions": [version]}},
                "max_batch_size": max_batch_rows,
                "input": [_tensor_config(spec, skipped) for spec in signature.inputs],
                "output": [_tensor_config(spec, skipped) for spec in signature.outputs],
            }
        )
    )


def encode_flag(name: str, value: bool, /, **more: str) -> Encoded:
    """Return a yes or no, as health and readiness are answered."""
    return Encoded(dump({**more, name: value}))


def _tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype.value, "shape": list(spec.shape)}


def _tensor_config(spec: TensorSpec, skipped: int) -> dict[str, Any]:
    kind = "STRING" if spec.dtype is DType.BYTES else spec.dtype.value
    return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": list(spec.shape[skipped:])}
