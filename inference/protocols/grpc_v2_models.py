"""Triton's extensions of V2 over gRPC that tell of models: configuration, statistics, repository index.

Source: triton-inference-server/common, protobuf/grpc_service.proto. What they say is what REST says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.model_statistics import VersionStatistics
from inference.protocols.protos.open_inference_pb2 import (
    ConfigDataType,
    ModelConfig,
    ModelConfigResponse,
    ModelMetadataResponse,
    ModelStatisticsResponse,
    RepositoryIndexResponse,
)
from inference.protocols.repository import READY_STATE


def encode_model(model: str, versions: list[int], platform: str, signature: Signature) -> bytes:
    """Return a model's inputs and outputs."""
    message = ModelMetadataResponse(name=model, versions=[str(version) for version in versions], platform=platform)
    for specs, tensors in ((signature.inputs, message.inputs), (signature.outputs, message.outputs)):
        for spec in specs:
            tensors.add(name=spec.name, datatype=spec.dtype.value, shape=spec.shape)
    return message.SerializeToString()


def encode_config(model: str, version: int, platform: str, signature: Signature, *, max_batch_rows: int) -> bytes:
    """Return the configuration; `max_batch_rows` 0: rows are not batched, and dims include the first dimension."""
    config = ModelConfig(
        name=model, platform=platform, backend=platform.partition("_")[0], max_batch_size=max_batch_rows
    )
    config.version_policy.specific.versions.append(version)
    skipped = 1 if max_batch_rows else 0
    for spec in signature.inputs:
        config.input.add(name=spec.name, data_type=_data_type(spec), dims=spec.shape[skipped:])
    for spec in signature.outputs:
        config.output.add(name=spec.name, data_type=_data_type(spec), dims=spec.shape[skipped:])
    return ModelConfigResponse(config=config).SerializeToString()


def encode_statistics(counted: Iterable[VersionStatistics]) -> bytes:
    """Return the statistics of some versions."""
    message = ModelStatisticsResponse()
    for item in counted:
        stats = message.model_stats.add(
            name=item.model,
            version=str(item.version),
            last_inference=item.last_inference_ms,
            inference_count=item.inferences,
            execution_count=item.executions,
        )
        success, fail = stats.inference_stats.success, stats.inference_stats.fail
        success.count, success.ns = item.succeeded, item.succeeded_ns
        fail.count, fail.ns = item.failed, item.failed_ns
    return message.SerializeToString()


def encode_index(states: Iterable[tuple[str, int, str, str]], *, only_ready: bool) -> bytes:
    """Return versions, each (model, version, 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE', reason)."""
    message = RepositoryIndexResponse()
    for model, version, state, reason in states:
        if state == READY_STATE or not only_ready:
            message.models.add(name=model, version=str(version), state=state, reason=reason)
    return message.SerializeToString()


def _data_type(spec: TensorSpec) -> ConfigDataType:
    kind = "STRING" if spec.dtype is DType.BYTES else spec.dtype.value
    return cast(ConfigDataType, ConfigDataType.Value(f"TYPE_{kind}"))
