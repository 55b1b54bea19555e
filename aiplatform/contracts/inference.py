"""What the others may ask of `inference`: serve this version, roll back, how is it, predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiplatform.artifacts import ImageInput
from aiplatform.contracts.engines import CompileVersion, EngineReports
from aiplatform.http.client import ServiceClient, path_segment

PREFIX = "/internal/inference"


@dataclass(frozen=True, kw_only=True)
class TrafficShare:
    """One version's share of an endpoint's requests; the weights of an endpoint add up to 100."""

    version: int
    weight: int  # percent


class ReplicaState(StrEnum):
    """How far one serving process has come with one version."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ReplicaInfo:
    """What one serving process says of one version of an endpoint; `engine` is what runs it there."""

    replica: str
    version: int
    state: ReplicaState
    message: str = ""
    engine: str = ""
    generation: int = 0  # of the desired state that this process has read


@dataclass(frozen=True, kw_only=True)
class EndpointInfo:
    """An endpoint: the public name of a model, with its desired and its real state.

    `generation` grows with each change of the desired state, `traffic_generation` is that of the last
    order that concerned traffic. `is_ready` says that at least one live replica serves every version
    that has traffic. `engine` is the one that is pinned; empty: none. `shadow` is the version that gets
    copies of live requests. `off_reason` and `frozen_reason` say why, if it is switched off or frozen.
    """

    name: str
    model: str
    generation: int
    traffic: tuple[TrafficShare, ...]
    replicas: tuple[ReplicaInfo, ...]
    is_ready: bool
    labels: tuple[str, ...] = ()
    image: ImageInput | None = None
    engine: str = ""
    traffic_generation: int = 0
    traffic_key: str = ""  # the idempotency key of that order, so that its giver knows it again
    shadow: int | None = None
    is_off: bool = False
    off_reason: str = ""
    is_frozen: bool = False
    frozen_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class EndpointList:
    """All endpoints, by name."""

    endpoints: tuple[EndpointInfo, ...]


@dataclass(frozen=True, kw_only=True)
class DeployVersion:
    """Give a version all of an endpoint's traffic, or the given shares.

    `reference` is a number, an alias or 'latest'. `traffic` empty means 100% to `reference`;
    else it names every version's share, and `reference` is only checked to exist. `engine` pins one
    ('auto' takes the pin away; empty leaves it as it is). `actor` and `reason` go into the history.
    """

    endpoint: str
    model: str
    reference: str
    traffic: tuple[TrafficShare, ...] = ()
    engine: str = ""
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RollBackEndpoint:
    """Return to the traffic before the present one.

    `idempotency_key` makes a repeated call change nothing. `from_version`, if given, must still
    have traffic, so that a late order does not undo a newer deployment (ConflictError).
    """

    endpoint: str
    actor: str
    reason: str
    idempotency_key: str
    from_version: int | None = None


@dataclass(frozen=True, kw_only=True)
class EndpointChange:
    """One order in an endpoint's history. `at` is ISO 8601, UTC."""

    generation: int
    kind: str
    traffic: tuple[TrafficShare, ...]
    actor: str
    reason: str
    at: str


@dataclass(frozen=True, kw_only=True)
class EndpointHistory:
    """The latest changes of an endpoint, newest first; also of a deleted one."""

    changes: tuple[EndpointChange, ...]


class TrafficPurpose(StrEnum):
    """What a split is for: a person's, a step of a rollout, its end, or the way back."""

    SPLIT = "split"
    STEP = "step"  # nobody rolls back to it
    PROMOTION = "promotion"
    RESTORE = "restore"  # allowed while the endpoint is frozen


@dataclass(frozen=True, kw_only=True)
class SetTraffic:
    """Share the requests between versions of the endpoint's model.

    A repeated `idempotency_key` changes nothing. `expected_generation`, if given, must be the
    endpoint's `traffic_generation`, so that a late order does not undo a newer one (ConflictError).
    """

    endpoint: str
    traffic: tuple[TrafficShare, ...]
    actor: str
    reason: str
    idempotency_key: str = ""
    expected_generation: int | None = None
    purpose: TrafficPurpose = TrafficPurpose.SPLIT


@dataclass(frozen=True, kw_only=True)
class SetShadow:
    """Send copies of live requests to a version, whose answers are compared; None ends it.

    `expected_generation` and `idempotency_key` as for `SetTraffic`.
    """

    endpoint: str
    version: int | None
    actor: str
    reason: str
    idempotency_key: str = ""
    expected_generation: int | None = None


@dataclass(frozen=True, kw_only=True)
class SwitchEndpoint:
    """Let an endpoint answer 503 with the reason (`is_on` false), or serve again as before."""

    endpoint: str
    is_on: bool
    actor: str
    reason: str
    idempotency_key: str = ""


@dataclass(frozen=True, kw_only=True)
class FreezeEndpoint:
    """Refuse new deployments and splits until it is lifted; the way back stays open."""

    endpoint: str
    is_frozen: bool
    actor: str
    reason: str
    idempotency_key: str = ""


@dataclass(frozen=True, kw_only=True)
class OrderReceipt:
    """What an order made: its own generation (of the first time, if `is_repeat`), and the endpoint now."""

    generation: int
    is_repeat: bool
    endpoint: EndpointInfo


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """One recorded request, in TF Serving's row form."""

    prediction_id: str
    instances: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class OrderReplay:
    """Run recorded requests through versions of an endpoint, at the lowest priority, recording nothing.

    `key` names the replay: ordering it again changes nothing.
    """

    key: str
    endpoint: str
    versions: tuple[int, ...]
    requests: tuple[ReplayRequest, ...]


@dataclass(frozen=True, kw_only=True)
class ReplayAnswer:
    """What one version said to one request: labels or numbers by row, or the status of its failure."""

    prediction_id: str
    http_status: int
    latency_ms: float
    labels: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class ReplayedVersion:
    """One version's answers, in the order of the requests."""

    version: int
    answers: tuple[ReplayAnswer, ...]


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """How far a replay has come: `state` is 'queued', 'running', 'done' or 'failed' (with `message`)."""

    key: str
    state: str
    message: str = ""
    results: tuple[ReplayedVersion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PredictRows:
    """Rows in TF Serving's row form (`instances`), for callers inside the platform."""

    endpoint: str
    instances: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One answer. `rows[i]` holds the outputs of row i by tensor name."""

    prediction_id: str
    endpoint: str
    version: int
    rows: tuple[Mapping[str, Any], ...]
    labels: tuple[str, ...] = ()


class InferenceClient:
    """Ask the serving side. Every method raises a PlatformError."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def deploy_version(self, order: DeployVersion) -> EndpointInfo:
        """Change the desired state; replicas follow. Creates the endpoint if it is new."""
        return self._service.post(f"{PREFIX}/deploy", order, EndpointInfo)

    def roll_back_endpoint(self, order: RollBackEndpoint) -> EndpointInfo:
        """Return to the previous traffic; ConflictError if there is none."""
        return self._service.post(f"{PREFIX}/rollback", order, EndpointInfo, is_idempotent=True)

    def set_traffic(self, order: SetTraffic) -> OrderReceipt:
        """Change the split; ConflictError if the endpoint is frozen or has moved on."""
        return self._service.post(f"{PREFIX}/traffic", order, OrderReceipt, is_idempotent=bool(order.idempotency_key))

    def set_shadow(self, order: SetShadow) -> OrderReceipt:
        """Begin or end the shadow; ConflictError if the endpoint has moved on."""
        return self._service.post(f"{PREFIX}/shadow", order, OrderReceipt, is_idempotent=bool(order.idempotency_key))

    def switch(self, order: SwitchEndpoint) -> OrderReceipt:
        """Switch an endpoint off or on again; it keeps its traffic and its loaded versions."""
        return self._service.post(f"{PREFIX}/switch", order, OrderReceipt, is_idempotent=True)

    def freeze(self, order: FreezeEndpoint) -> OrderReceipt:
        """Freeze an endpoint's traffic, or lift it."""
        return self._service.post(f"{PREFIX}/freeze", order, OrderReceipt, is_idempotent=True)

    def order_replay(self, order: OrderReplay) -> ReplayReport:
        """Have recorded requests run again by a serving process, and return at once."""
        return self._service.post(f"{PREFIX}/replays", order, ReplayReport, is_idempotent=True, is_packed=True)

    def get_replay(self, key: str) -> ReplayReport:
        """Return how far a replay is; NotFoundError if it was never ordered, or long ago."""
        return self._service.get(f"{PREFIX}/replays/{path_segment(key)}", ReplayReport)

    def get_endpoint(self, name: str) -> EndpointInfo:
        """Return one endpoint; NotFoundError if there is none of that name."""
        return self._service.get(f"{PREFIX}/endpoints/{path_segment(name)}", EndpointInfo)

    def get_history(self, name: str) -> EndpointHistory:
        """Return the latest changes; NotFoundError if there never was such an endpoint."""
        return self._service.get(f"{PREFIX}/endpoints/{path_segment(name)}/history", EndpointHistory)

    def list_endpoints(self) -> EndpointList:
        """Return all endpoints."""
        return self._service.get(f"{PREFIX}/endpoints", EndpointList)

    def compile_version(self, order: CompileVersion) -> EngineReports:
        """Have a version compiled for serving, and return at once."""
        return self._service.post(f"{PREFIX}/compile", order, EngineReports, is_idempotent=True)

    def get_engines(self, artifact_digest: str) -> EngineReports:
        """Return how the engines did with an artifact."""
        return self._service.get(f"{PREFIX}/engines/{path_segment(artifact_digest)}", EngineReports)

    def predict_rows(self, rows: PredictRows) -> Predictions:
        """Predict through the same queue, engine and recording as the public protocols."""
        return self._service.post(f"{PREFIX}/predict", rows, Predictions)
