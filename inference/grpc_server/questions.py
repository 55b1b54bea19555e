"""The calls that ask: health, metadata, status. All are answered from the routing table."""

from __future__ import annotations

import aiplatform
from inference.model_questions import (
    batch_rows,
    find_states,
    index_states,
    is_version_ready,
    named_version,
    platform_of,
    statistics_of,
)
from inference.protocols import grpc_tf_serving, grpc_v2_models
from inference.protocols.grpc_messages import parse_message, parse_version
from inference.protocols.model_metadata import SERVER_NAME
from inference.protocols.protos.open_inference_pb2 import (
    ModelConfigRequest,
    ModelMetadataRequest,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStatisticsRequest,
    RepositoryIndexRequest,
    ServerLiveResponse,
    ServerMetadataResponse,
    ServerReadyResponse,
)
from inference.serving import ServingRuntime

# Those of REST that gRPC has; raw contents are part of gRPC's protocol itself.
EXTENSIONS = ("classification", "model_configuration", "model_repository(index)", "statistics")
# grpc.health.v1's answer is one enum field, number 1: 1 is SERVING, 2 NOT_SERVING.
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"


class Questions:
    """Each method takes a request's bytes and returns the answer's; all may raise PlatformErrors."""

    def __init__(self, serving: ServingRuntime) -> None:
        self._serving = serving
        self._table = serving.table

    def server_live(self, body: bytes) -> bytes:
        """Say that the process answers."""
        return ServerLiveResponse(live=True).SerializeToString()

    def server_ready(self, body: bytes) -> bytes:
        """Say whether every endpoint that has traffic can answer."""
        return ServerReadyResponse(ready=self._table.is_ready).SerializeToString()

    def health(self, body: bytes) -> bytes:
        """Say the same as gRPC's own health protocol does; which service is asked for does not matter."""
        return _SERVING if self._table.is_ready else _NOT_SERVING

    def server_metadata(self, body: bytes) -> bytes:
        """Say what the server is."""
        return ServerMetadataResponse(
            name=SERVER_NAME, version=aiplatform.__version__, extensions=EXTENSIONS
        ).SerializeToString()

    def model_ready(self, body: bytes) -> bytes:
        """Say whether a model, or one version of it, can answer."""
        message = parse_message(ModelReadyRequest, body)
        ready = is_version_ready(self._table.route(message.name), parse_version(message.version))
        return ModelReadyResponse(ready=ready).SerializeToString()

    def model_metadata(self, body: bytes) -> bytes:
        """Return V2's metadata of a model."""
        message = parse_message(ModelMetadataRequest, body)
        route, version = self._table.route(message.name), parse_version(message.version)
        loaded = named_version(route, version, None)
        versions = sorted(route.versions) if version is None else [loaded.version]
        return grpc_v2_models.encode_model(message.name, versions, platform_of(loaded), loaded.manifest.signature)

    def model_config(self, body: bytes) -> bytes:
        """Return V2's configuration of a model."""
        message = parse_message(ModelConfigRequest, body)
        loaded = named_version(self._table.route(message.name), parse_version(message.version), None)
        rows = batch_rows(loaded, self._serving.options.limits.max_batch_rows)
        return grpc_v2_models.encode_config(
            message.name, loaded.version, platform_of(loaded), loaded.manifest.signature, max_batch_rows=rows
        )

    def model_statistics(self, body: bytes) -> bytes:
        """Return what was counted of a model's versions, or of all models'."""
        message = parse_message(ModelStatisticsRequest, body)
        routes = [self._table.route(message.name)] if message.name else self._table.routes.values()
        only = parse_version(message.version) if message.name else None
        return grpc_v2_models.encode_statistics(statistics_of(self._serving, routes, only=only))

    def repository_index(self, body: bytes) -> bytes:
        """Return every version of every endpoint with its state."""
        message = parse_message(RepositoryIndexRequest, body)
        return grpc_v2_models.encode_index(index_states(self._table), only_ready=message.ready)

    def tf_metadata(self, body: bytes) -> bytes:
        """Return TF Serving's metadata of a model."""
        spec = grpc_tf_serving.parse_metadata(body)
        loaded = named_version(self._table.route(spec.name), *grpc_tf_serving.read_version(spec))
        return grpc_tf_serving.encode_metadata(spec.name, loaded.version, loaded.manifest.signature)

    def tf_status(self, body: bytes) -> bytes:
        """Return TF Serving's status of a model's versions."""
        spec = grpc_tf_serving.parse_status(body)
        states = find_states(self._table.route(spec.name), *grpc_tf_serving.read_version(spec))
        return grpc_tf_serving.encode_status(states)
