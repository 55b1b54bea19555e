"""Answers the GET half of the protocols from the routing table: status, metadata, health."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import aiplatform
from aiplatform.contracts.inference import ReplicaState
from aiplatform.errors import NotFoundError, PlatformError
from inference.loaded import LoadedVersion
from inference.protocols import model_metadata, repository, tf_serving
from inference.protocols.messages import Encoded
from inference.protocols.model_statistics import VersionStatistics, encode_statistics
from inference.protocols.paths import Operation, Target
from inference.routing_table import PendingVersion, Route, RoutingTable
from inference.scheduler.batch import is_batchable
from inference.serving import ServingRuntime

_TF_STATES = {
    ReplicaState.LOADING: "LOADING",
    ReplicaState.READY: "AVAILABLE",
    ReplicaState.DRAINING: "UNLOADING",
    ReplicaState.FAILED: "END",
}
_INDEX_STATES = {
    ReplicaState.LOADING: "LOADING",
    ReplicaState.READY: repository.READY_STATE,
    ReplicaState.DRAINING: "UNLOADING",
    ReplicaState.FAILED: "UNAVAILABLE",
}
_PLATFORMS = {
    "saved_model": "tensorflow_savedmodel",
    "torch_export": "pytorch_export",
    "torchscript": "pytorch_torchscript",
}
# Of versions that another engine than their own runs; clients know the first name from Triton.
_ENGINE_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "litert": "tensorflow_lite", "remote": "remote"}


def answer_question(target: Target, serving: ServingRuntime) -> tuple[int, Encoded]:
    """Return status and body for a GET.

    Raises: NotFoundError for an unknown model or version; UnavailableError where it must be loaded.
    """
    match target.operation:
        case Operation.V2_SERVER:
            return 200, model_metadata.encode_server(aiplatform.__version__)
        case Operation.V2_LIVE:
            return 200, model_metadata.encode_flag("live", True)
        case Operation.V2_READY:
            return _flag("ready", serving.table.is_ready)
        case Operation.V2_STATISTICS:
            return 200, _statistics(serving, serving.table.routes.values())
    return _answer_of_model(target, serving)


def answer_index(body: bytes, table: RoutingTable) -> Encoded:
    """Return every version of every endpoint with its state; `body` may ask for the ready ones.

    Raises: InvalidInputError for a body that is no such question.
    """
    only_ready = repository.decode_index(body)
    return repository.encode_index(index_states(table), only_ready=only_ready)


def index_states(table: RoutingTable) -> Iterator[tuple[str, int, str, str]]:
    """Return every version of every endpoint: name, version, V2's word for its state, reason."""
    for _, route in sorted(table.routes.items()):
        for version, pending in sorted(_pending_states(route).items()):
            yield route.endpoint, version, _INDEX_STATES[pending.state], pending.message


def _answer_of_model(target: Target, serving: ServingRuntime) -> tuple[int, Encoded]:
    route = serving.table.route(target.model)
    match target.operation:
        case Operation.V1_STATUS:
            return 200, tf_serving.encode_status(find_states(route, target.version, target.label))
        case Operation.V2_MODEL_READY:
            return _flag("ready", is_version_ready(route, target.version), name=target.model)
        case Operation.V2_MODEL_STATISTICS:
            return 200, _statistics(serving, [route], only=target.version)
    loaded = named_version(route, target.version, target.label)
    if target.operation is Operation.V1_METADATA:
        return 200, tf_serving.encode_metadata(target.model, loaded.version, loaded.manifest.signature)
    if target.operation is Operation.V2_CONFIG:
        return 200, _config(target.model, loaded, serving.options.limits.max_batch_rows)
    versions = [loaded.version] if target.version is not None else sorted(route.versions)
    return 200, model_metadata.encode_model(target.model, versions, platform_of(loaded), loaded.manifest.signature)


def _flag(name: str, value: bool, /, **more: str) -> tuple[int, Encoded]:
    return (200 if value else 503), model_metadata.encode_flag(name, value, **more)


def _config(model: str, loaded: LoadedVersion, max_batch_rows: int) -> Encoded:
    signature = loaded.manifest.signature
    rows = batch_rows(loaded, max_batch_rows)
    return model_metadata.encode_config(model, loaded.version, platform_of(loaded), signature, max_batch_rows=rows)


def batch_rows(loaded: LoadedVersion, max_batch_rows: int) -> int:
    """Return how many rows a batch of a version may have; 0 if its rows are not batched."""
    return max_batch_rows if is_batchable(loaded.manifest.signature) else 0


def _statistics(serving: ServingRuntime, routes: Iterable[Route], *, only: int | None = None) -> Encoded:
    return encode_statistics(statistics_of(serving, routes, only=only))


def statistics_of(
    serving: ServingRuntime, routes: Iterable[Route], *, only: int | None = None
) -> Iterator[VersionStatistics]:
    """Return what was counted of the loaded versions of some endpoints; of `only` one where that is given."""
    for route in routes:
        for version in sorted(route.versions) if only is None else [route.version(only).version]:
            yield serving.statistics.version(route.endpoint, version)


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
    states = _pending_states(route)
    if number is not None:
        if number not in states:
            route.version(number)  # raises with the versions there are
        states = {number: states[number]}
    return [(v, _TF_STATES[p.state], p.message) for v, p in sorted(states.items(), reverse=True)]


def platform_of(loaded: LoadedVersion) -> str:
    """Return what V2 calls the format of a model: of what runs, if that is not its own."""
    manifest = loaded.manifest
    if loaded.running.name in _ENGINE_PLATFORMS:
        return _ENGINE_PLATFORMS[loaded.running.name]
    return _PLATFORMS.get(manifest.model_format, manifest.model_format)


def _number(route: Route, version: int | None, label: str | None) -> int | None:
    if label is None:
        return version
    number = route.labels.get(label)
    return route.labelled(label).version if number is None else number


def _pending_states(route: Route) -> dict[int, PendingVersion]:
    ready = PendingVersion(state=ReplicaState.READY)
    return {**route.pending, **dict.fromkeys(route.versions, ready)}
