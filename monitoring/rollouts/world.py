"""What a rollout asks of others: inference, training, the prediction store, the windows. Tests give their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from aiplatform.contracts.inference import (
    EndpointInfo,
    OrderReceipt,
    OrderReplay,
    ReplayReport,
    SetShadow,
    SetTraffic,
)
from aiplatform.contracts.training import ModelVersionInfo, SetAlias
from monitoring.rollouts.gates.canary import VersionCounts

if TYPE_CHECKING:
    from monitoring.store.requests import StoredRequest


class Inference(Protocol):
    """The part of inference's contract that rollouts need."""

    def get_endpoint(self, name: str) -> EndpointInfo: ...
    def set_traffic(self, order: SetTraffic) -> OrderReceipt: ...
    def set_shadow(self, order: SetShadow) -> OrderReceipt: ...
    def order_replay(self, order: OrderReplay) -> ReplayReport: ...
    def get_replay(self, key: str) -> ReplayReport: ...


class Training(Protocol):
    """The part of training's contract that rollouts need."""

    def get_model_version(self, model: str, reference: str) -> ModelVersionInfo: ...
    def set_alias(self, order: SetAlias) -> ModelVersionInfo: ...


class ReadRequests(Protocol):
    """The prediction store's newest requests of an endpoint."""

    def __call__(
        self, endpoint: str, *, version: int | None = None, limit: int, before: datetime | None = None
    ) -> Sequence[StoredRequest]: ...


class CountVersion(Protocol):
    """What a version did since a time."""

    def __call__(
        self,
        endpoint: str,
        version: int,
        *,
        since: datetime,
        now: datetime,
        slow_ms: float | None,
        loss_scale: float | None,
    ) -> VersionCounts: ...


class SlowLimit(Protocol):
    """The p95 of a version's last hour, milliseconds."""

    def __call__(self, endpoint: str, version: int, *, now: datetime) -> float | None: ...


class ErrorScale(Protocol):
    """The absolute error of a number that is a loss of 1, from a version's labelled predictions before a time."""

    def __call__(self, endpoint: str, version: int, *, before: datetime, least: int) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class World:
    """All of it, and the time."""

    inference: Inference
    training: Training
    read_requests: ReadRequests
    count_version: CountVersion
    slow_limit_ms: SlowLimit
    error_scale: ErrorScale
    clock: Callable[[], datetime]


def real_world() -> World:
    """Return the world as this process is wired to it."""
    from django.utils import timezone

    from aiplatform.services import inference_client, training_client
    from monitoring.rollouts.counts import count_version, error_scale, slow_limit_ms
    from monitoring.store.requests import read_requests

    return World(
        inference=inference_client(),
        training=training_client(),
        read_requests=read_requests,
        count_version=count_version,
        slow_limit_ms=slow_limit_ms,
        error_scale=error_scale,
        clock=timezone.now,
    )
