"""Puts the parts of a serving gateway process together."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from django.conf import settings

from aiplatform.errors import InvalidConfigurationError
from aiplatform.http.addresses import split_addresses
from aiplatform.http.lane.handler import LaneHandler
from aiplatform.roles import INFERENCE
from aiplatform.rpc.calls import CallApplication, waiting_application
from aiplatform.wiring import AsgiApplication
from gateway.call_door import CallDoor
from gateway.discovery.pool import Pool
from gateway.door import PredictDoor
from gateway.forwarding.lane import ForwardLane
from gateway.forwarding.predictions import PredictForwarder
from gateway.forwarding.upstreams import Upstreams
from gateway.lane import LaneDoor
from gateway.loop import GatewayLoop
from gateway.metrics import count_request
from gateway.policy import PredictPolicy
from gateway.process import new_breaker, this_gateway

if TYPE_CHECKING:
    from gateway.forwarding.calls import CallForwarder


def build_door(backend: AsgiApplication | None) -> AsgiApplication:
    """Return the predict door before `backend`, or before the inference service elsewhere."""
    return PredictDoor(
        backend or _forwarder(), _policy(), max_body_bytes=settings.MAX_BODY_BYTES, is_remote=backend is None
    )


def build_lane_door(handler: LaneHandler | None) -> LaneHandler:
    """Return the predict door for requests on the lane, before a `handler`, or the inference service elsewhere."""
    return LaneDoor(handler or ForwardLane(_forwarder(), max_body_bytes=settings.MAX_BODY_BYTES), _policy())


def build_call_door(backend: CallApplication | None) -> CallApplication:
    """Return the gRPC door before `backend`, or before the inference service elsewhere."""
    return CallDoor(backend or waiting_application(_call_forwarder()), _policy(), is_remote=backend is None)


def _policy() -> PredictPolicy:
    gateway = this_gateway()
    return PredictPolicy(
        identities=gateway.identities,
        limiter=gateway.limiter,
        count=count_request if settings.COUNT_REQUESTS else _count_nothing,
    )


def _count_nothing(route: str, status: int, seconds: float) -> None:
    return


async def start_loop() -> None:
    """Start the background work."""
    await _loop().start()


async def stop_loop() -> None:
    """End the background work."""
    await _loop().stop()
    if _call_forwarder.cache_info().currsize:
        await _call_forwarder().close()


@functools.cache
def _upstreams() -> Upstreams:
    return Upstreams()


@functools.cache
def _loop() -> GatewayLoop:
    return GatewayLoop(this_gateway(), _upstreams())


@functools.cache
def _forwarder() -> PredictForwarder:
    pool = this_gateway().pools.get(INFERENCE)
    if pool is None:
        raise InvalidConfigurationError("this gateway has no inference app and no INFERENCE_URL")
    return PredictForwarder(
        pool=pool,
        upstreams=_upstreams(),
        secret=settings.INTERNAL_SECRETS[0],
        longest_s=settings.GATEWAY_PREDICT_TIMEOUT_S,
        max_body_bytes=settings.MAX_BODY_BYTES,
    )


@functools.cache
def _call_forwarder() -> CallForwarder:
    from gateway.forwarding.calls import CallForwarder  # grpc is imported where gRPC is served

    addresses = split_addresses(settings.INFERENCE_GRPC_URL)
    if not addresses:
        raise InvalidConfigurationError("this gateway serves gRPC (GRPC_BIND) and has no INFERENCE_GRPC_URL")
    pool = Pool(service="inference-grpc", new_breaker=new_breaker)
    pool.set_addresses(addresses)
    return CallForwarder(pool=pool, secret=settings.INTERNAL_SECRETS[0], longest_s=settings.GATEWAY_PREDICT_TIMEOUT_S)
