"""Answers the GET half of the protocols from the routing table: status, metadata, health."""

from __future__ import annotations

import aiplatform
from aiplatform.contracts.inference import ReplicaState
from aiplatform.errors import NotFoundError, PlatformError
from inference.loaded import LoadedVersion
from inference.protocols import open_inference, tf_serving
from inference.protocols.messages import Encoded
from inference.protocols.paths import Operation, Target
from inference.routing_table import PendingVersion, Route, RoutingTable

_TF_STATES = {
    ReplicaState.LOADING: "LOADING",
    ReplicaState.READY: "AVAILABLE",
    ReplicaState.DRAINING: "UNLOADING",
    ReplicaState.FAILED: "END",
}
_PLATFORMS = {
    "saved_model": "tensorflow_savedmodel",
    "torch_export": "pytorch_export",
    "torchscript": "pytorch_torchscript",
}
# Of versions that another engine than their own runs; clients know the first name from Triton.
_ENGINE_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "litert": "tensorflow_lite", "remote": "remote"}


def answer_question(target: Target, table: RoutingTable) -> tuple[int, Encoded]:
    """Return status and body for a GET.

    Raises: NotFoundError for an unknown model or version; UnavailableError where it must be loaded.
    """
    match target.operation:
        case Operation.V2_SERVER:
            return 200, open_inference.encode_server(aiplatform.__version__)
        case Operation.V2_LIVE:
            return 200, open_inference.encode_flag("live", True)
        case Operation.V2_READY:
            return _flag("ready", table.is_ready)
    route = table.route(target.model)
    match target.operation:
        case Operation.V1_STATUS:
            return 200, tf_serving.encode_status(_states(route, _number(route, target)))
        case Operation.V2_MODEL_READY:
            return _flag("ready", _is_ready(route, target), name=target.model)
    loaded = _loaded(route, target)
    if target.operation is Operation.V1_METADATA:
        return 200, tf_serving.encode_metadata(target.model, loaded.version, loaded.manifest.signature)
    versions = [loaded.version] if target.version is not None else sorted(route.versions)
    return 200, open_inference.encode_model(target.model, versions, _platform(loaded), loaded.manifest.signature)


def _flag(name: str, value: bool, /, **more: str) -> tuple[int, Encoded]:
    return (200 if value else 503), open_inference.encode_flag(name, value, **more)


def _loaded(route: Route, target: Target) -> LoadedVersion:
    number = _number(route, target)
    return route.default if number is None else route.version(number)


def _is_ready(route: Route, target: Target) -> bool:
    if target.version is None:
        return route.is_ready
    try:
        route.version(target.version)
    except NotFoundError:
        raise
    except PlatformError:
        return False
    return True


def _number(route: Route, target: Target) -> int | None:
    if target.label is None:
        return target.version
    number = route.labels.get(target.label)
    return route.labelled(target.label).version if number is None else number


def _states(route: Route, number: int | None) -> list[tuple[int, str, str]]:
    states = {version: PendingVersion(state=ReplicaState.READY) for version in route.versions}
    states = {**route.pending, **states}
    if number is not None:
        if number not in states:
            route.version(number)  # raises with the versions there are
        states = {number: states[number]}
    return [(v, _TF_STATES[p.state], p.message) for v, p in sorted(states.items(), reverse=True)]


def _platform(loaded: LoadedVersion) -> str:
    manifest = loaded.manifest
    if loaded.running.name in _ENGINE_PLATFORMS:
        return _ENGINE_PLATFORMS[loaded.running.name]
    return _PLATFORMS.get(manifest.model_format, manifest.model_format)
