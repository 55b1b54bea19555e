"""What the others may ask of `inference`: serve this version, roll back, how is it, predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiplatform.artifacts import ImageInput
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
    """What one serving process says of one version of an endpoint."""

    replica: str
    version: int
    state: ReplicaState
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class EndpointInfo:
    """An endpoint: the public name of a model, with its desired and its real state.

    `generation` grows with each change of the desired state. `is_ready` says that at least one
    live replica serves every version that has traffic.
    """

    name: str
    model: str
    generation: int
    traffic: tuple[TrafficShare, ...]
    replicas: tuple[ReplicaInfo, ...]
    is_ready: bool
    labels: tuple[str, ...] = ()
    image: ImageInput | None = None


@dataclass(frozen=True, kw_only=True)
class EndpointList:
    """All endpoints, by name."""

    endpoints: tuple[EndpointInfo, ...]


@dataclass(frozen=True, kw_only=True)
class DeployVersion:
    """Give a version all of an endpoint's traffic, or the given shares.

    `reference` is a number, an alias or 'latest'. `traffic` empty means 100% to `reference`;
    else it names every version's share, and `reference` is only checked to exist. `actor` and
    `reason` go into the history.
    """

    endpoint: str
    model: str
    reference: str
    traffic: tuple[TrafficShare, ...] = ()
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

    def get_endpoint(self, name: str) -> EndpointInfo:
        """Return one endpoint; NotFoundError if there is none of that name."""
        return self._service.get(f"{PREFIX}/endpoints/{path_segment(name)}", EndpointInfo)

    def list_endpoints(self) -> EndpointList:
        """Return all endpoints."""
        return self._service.get(f"{PREFIX}/endpoints", EndpointList)

    def predict_rows(self, rows: PredictRows) -> Predictions:
        """Predict through the same queue, engine and recording as the public protocols."""
        return self._service.post(f"{PREFIX}/predict", rows, Predictions)
