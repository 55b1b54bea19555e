"""Inference, training, store and windows in memory, which can be cut before and after every call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from aiplatform.contracts.inference import (
    EndpointInfo,
    OrderReceipt,
    OrderReplay,
    ReplayAnswer,
    ReplayedVersion,
    ReplayReport,
    ReplicaInfo,
    ReplicaState,
    SetShadow,
    SetTraffic,
    TrafficPurpose,
    TrafficShare,
)
from aiplatform.contracts.training import ModelVersionInfo, SetAlias
from aiplatform.errors import ConflictError, NotFoundError, UnavailableError
from monitoring.rollouts.gates.canary import VersionCounts
from monitoring.rollouts.world import World
from monitoring.store.requests import StoredRequest

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Cutter:
    """Kills the process at one of the places that it passes, once."""

    at: int = -1
    passed: int = 0

    def pass_by(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


@dataclass
class FakeInference:
    """One endpoint, with inference's own rules for keys, generations, freezes and shadows."""

    cutter: Cutter = field(default_factory=Cutter)
    info: EndpointInfo = field(
        default_factory=lambda: EndpointInfo(
            name="digits", model="digits", generation=1, traffic_generation=1,
            traffic=(TrafficShare(version=1, weight=100),), replicas=(), is_ready=True,
        )
    )  # fmt: skip
    keys: dict[str, int] = field(default_factory=dict)
    history: list[dict[int, int]] = field(default_factory=list)
    replays: dict[str, ReplayReport] = field(default_factory=dict)
    answers: Callable[[int, str], ReplayAnswer] | None = None
    is_away: bool = False
    failed: str = ""
    shadows: list[int | None] = field(default_factory=list)

    def get_endpoint(self, name: str) -> EndpointInfo:
        self._come()
        return replace(self.info, replicas=self._replicas())

    def set_traffic(self, order: SetTraffic) -> OrderReceipt:
        self._come()
        if order.idempotency_key in self.keys:
            return self._receipt(order.idempotency_key)
        if order.expected_generation not in (None, self.info.traffic_generation):
            raise ConflictError("it has moved on")
        if self.info.is_frozen and order.purpose is not TrafficPurpose.RESTORE:
            raise ConflictError("it is frozen", is_frozen=True)
        self.take_traffic(*order.traffic, key=order.idempotency_key)
        self.cutter.pass_by()
        return self._receipt(order.idempotency_key)

    def set_shadow(self, order: SetShadow) -> OrderReceipt:
        self._come()
        if order.idempotency_key not in self.keys:
            self.info = replace(self.info, generation=self.info.generation + 1, shadow=order.version)
            self.keys[order.idempotency_key] = self.info.generation
            self.shadows.append(order.version)
        self.cutter.pass_by()
        return self._receipt(order.idempotency_key)

    def order_replay(self, order: OrderReplay) -> ReplayReport:
        self._come()
        results = tuple(
            ReplayedVersion(version=v, answers=tuple(self._answer(v, r.prediction_id) for r in order.requests))
            for v in order.versions
        )
        self.replays.setdefault(order.key, ReplayReport(key=order.key, state="done", results=results))
        self.cutter.pass_by()
        return ReplayReport(key=order.key, state="queued")

    def get_replay(self, key: str) -> ReplayReport:
        self._come()
        if key not in self.replays:
            raise NotFoundError(key)
        return self.replays[key]

    def take_traffic(self, *shares: TrafficShare, key: str = "") -> None:
        """Change the split, as an order or a person does."""
        number = self.info.generation + 1
        shadow = None if any(s.version == self.info.shadow and s.weight for s in shares) else self.info.shadow
        self.info = replace(
            self.info, generation=number, traffic_generation=number, traffic_key=key, traffic=shares, shadow=shadow
        )
        self.history.append({share.version: share.weight for share in shares})
        if key:
            self.keys[key] = number

    def _come(self) -> None:
        if self.is_away:
            raise UnavailableError("inference cannot be reached")
        self.cutter.pass_by()

    def _receipt(self, key: str) -> OrderReceipt:
        return OrderReceipt(generation=self.keys[key], is_repeat=False, endpoint=self.info)

    def _answer(self, version: int, request: str) -> ReplayAnswer:
        if self.answers is not None:
            return self.answers(version, request)
        return ReplayAnswer(prediction_id=request, http_status=200, latency_ms=1.0, labels=("7",))

    def _replicas(self) -> tuple[ReplicaInfo, ...]:
        return tuple(
            ReplicaInfo(
                replica="r1", version=share.version, generation=self.info.generation,
                state=ReplicaState.FAILED if self.failed and share.version == 2 else ReplicaState.READY,
                message=self.failed,
            )
            for share in self.info.traffic
        )  # fmt: skip


@dataclass
class FakeTraining:
    """Two versions and their metrics."""

    cutter: Cutter = field(default_factory=Cutter)
    metrics: dict[int, dict[str, float]] = field(default_factory=lambda: {1: {"accuracy": 0.9}, 2: {"accuracy": 0.91}})
    aliases: dict[str, int] = field(default_factory=dict)

    def get_model_version(self, model: str, reference: str) -> ModelVersionInfo:
        self.cutter.pass_by()
        number = self.aliases.get(reference, 0) or int(reference)
        if number not in self.metrics:
            raise NotFoundError(reference)
        return ModelVersionInfo(
            model=model, version=number, artifact_uri="", artifact_digest="", framework="", task="", run_id="",
            created_at="", metrics=self.metrics[number],
        )  # fmt: skip

    def set_alias(self, order: SetAlias) -> ModelVersionInfo:
        self.cutter.pass_by()
        self.aliases[order.alias] = order.version
        self.cutter.pass_by()
        return self.get_model_version(order.model, str(order.version))


@dataclass
class Scene:
    """All of it, a clock that moves when told, and the traffic that the two versions see."""

    cutter: Cutter = field(default_factory=Cutter)
    now: datetime = START
    counts: dict[int, VersionCounts] = field(default_factory=dict)
    stored: int = 1000
    truth: str | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        self.inference = FakeInference(cutter=self.cutter)
        self.training = FakeTraining(cutter=self.cutter)

    @property
    def world(self) -> World:
        return World(
            inference=self.inference, training=self.training, read_requests=self.read_requests,
            count_version=self.count_version, slow_limit_ms=lambda *_, **__: 10.0,
            error_scale=lambda *_, **__: self.scale, clock=lambda: self.now,
        )  # fmt: skip

    def read_requests(self, endpoint: str, *, limit: int, **_: Any) -> list[StoredRequest]:
        self.cutter.pass_by()
        return [
            StoredRequest(
                prediction_id=f"p{n}", row=0, time_s=0.0, version=1, inputs={"x": np.zeros((1, 2))}, outputs={},
                label=self.truth, value=None,
            )
            for n in range(min(limit, self.stored))
        ]  # fmt: skip

    def count_version(self, endpoint: str, version: int, **_: Any) -> VersionCounts:
        self.cutter.pass_by()
        return self.counts.get(version, VersionCounts())

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def serve(
        self,
        requests: int = 200,
        *,
        bad_errors: float = 0.0,
        wrong: tuple[float, float] | None = None,
        errors_of_numbers: tuple[float, float] | None = None,
    ) -> None:
        """Let both versions answer so many requests, the challenger with a share of errors.

        `errors_of_numbers`: the mean loss of each, where the truth is a number.
        """
        for version in (1, 2):
            share = self._share(version)
            if not share:
                continue
            errors = round(requests * bad_errors) if version == 2 else 0
            labelled = requests if wrong else 0
            hits = round(requests * wrong[version - 1]) if wrong else 0
            self.counts[version] = self.counts.get(version, VersionCounts()) + VersionCounts(
                requests=requests, errors=errors, answered=requests - errors, slow=(requests - errors) // 20,
                labelled=labelled, wrong=hits, valued=requests if errors_of_numbers else 0,
                loss=requests * errors_of_numbers[version - 1] if errors_of_numbers else 0.0,
            )  # fmt: skip

    def _share(self, version: int) -> int:
        return next((s.weight for s in self.inference.info.traffic if s.version == version), 0)


_numbers = itertools.count(1)


def compare(scene: Scene, *, requests: int = 100, errors: int = 0, agreed: int | None = None) -> None:
    """Let a process report what the shadow answered."""
    from monitoring.models.rollouts import ShadowCount

    rows = requests - errors
    ShadowCount.objects.create(
        batch_id=f"b{next(_numbers)}", endpoint="digits", champion=1, challenger=2, since=scene.now, until=scene.now,
        requests=requests, errors=errors, dropped=0, rows=rows, labelled_rows=rows,
        agreed_rows=rows if agreed is None else agreed, valued_rows=0, difference_sum=0.0, last_error="boom",
    )  # fmt: skip
