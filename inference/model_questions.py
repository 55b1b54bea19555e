"""Answers the GET half of the protocols from the routing table: status, metadata, health."""

from __future__ import annotations

import aiplatform
from aiplatform.artifacts import Manifest
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
            return 200, tf_serving.encode_status(find_states(route, target.version, target.label))
        case Operation.V2_MODEL_READY:
            return _flag("ready", is_version_ready(route, target.version), name=target.model)
    loaded = named_version(route, target.version, target.label)
    if target.operation is Operation.V1_METADATA:
        return 200, tf_serving.encode_metadata(target.model, loaded.version, loaded.manifest.signature)
    versions = [loaded.version] if target.version is not None else sorted(route.versions)
    manifest = loaded.manifest
    return 200, open_inference.encode_model(target.model, versions, platform_of(manifest), manifest.signature)


def _flag(name: str, value: bool, /, **more: str) -> tuple[int, Encoded]:
    return (200 if value else 503), open_inference.encode_flag(name, value, **more)


def named_version(route: Route, version: int | None, label: str | None) -> LoadedVersion:
    """Return the loaded version that a number or a label stands for; with neither, the one most traffic goes to.

    Raises: NotFoundError for an unknown one; UnavailableError if it is not loaded.
    """
    number = _number(route, version, label)
    return route.default if number is None else route.version(number)


def is_version_ready(route: Route, version: int | None) -> bool:
    """Say whether a version (None: any that has traffic) can answer; NotFoundError if there is no such version."""
    if version is None:
        return route.is_ready
    try:
        route.version(version)
    except NotFoundError:
        raise
    except PlatformError:
        return False
    return True


def find_states(route: Route, version: int | None, label: str | None) -> list[tuple[int, str, str]]:
    """Return (version, TF Serving's word for its state, message), newest first; raises as `named_version`."""
    number = _number(route, version, label)
    states = {v: PendingVersion(state=ReplicaState.READY) for v in route.versions}
    states = {**route.pending, **states}
    if number is not None:
        if number not in states:
            route.version(number)  # raises with the versions there are
        states = {number: states[number]}
    return [(v, _TF_STATES[p.state], p.message) for v, p in sorted(states.items(), reverse=True)]


def platform_of(manifest: Manifest) -> str:
    """Return what V2 calls the format of a model."""
    return _PLATFORMS.get(manifest.model_format, manifest.model_format)


def _number(route: Route, version: int | None, label: str | None) -> int | None:
    if label is None:
        return version
    number = route.labels.get(label)
    return route.labelled(label).version if number is None else number
