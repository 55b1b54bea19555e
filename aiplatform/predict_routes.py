"""Who stands before the predict protocols in this process.

gateway and inference together: policy, then the engine, in one call.
gateway alone:                  policy, then over HTTP to INFERENCE_URL.
inference alone:                signed requests only (they come from a gateway).
"""

from __future__ import annotations

from django.conf import settings

from aiplatform.contracts.predict import PREDICT_PREFIXES
from aiplatform.errors import InvalidConfigurationError
from aiplatform.http.asgi_signature import RequireSignature
from aiplatform.http.lane.handler import LaneHandler
from aiplatform.http.lane.signed import SignedLane
from aiplatform.roles import GATEWAY, INFERENCE
from aiplatform.wiring import AsgiApplication, wiring


def is_predict_path(path: str) -> bool:
    """Say whether a path belongs to the predict protocols."""
    return path.startswith(PREDICT_PREFIXES) or path == "/v2"


def build_predict_chain() -> AsgiApplication | None:
    """Return what answers the predict protocols here; None if this process does not."""
    backend = _local_backend()
    if GATEWAY in settings.ROLES:
        if wiring.predict_door is None:
            raise InvalidConfigurationError("the gateway app announced no predict door")
        return wiring.predict_door(backend)
    if backend is None:
        return None
    return RequireSignature(backend, secrets=settings.INTERNAL_SECRETS, limit_bytes=settings.MAX_BODY_BYTES)


def build_lane() -> LaneHandler | None:
    """Return the same for requests on the lane; None if this process does not answer them."""
    lane = wiring.predict_lane() if INFERENCE in settings.ROLES and wiring.predict_lane is not None else None
    if GATEWAY in settings.ROLES and wiring.lane_door is not None:
        return wiring.lane_door(lane)
    return None if lane is None else SignedLane(lane, secrets=settings.INTERNAL_SECRETS)


def _local_backend() -> AsgiApplication | None:
    if INFERENCE not in settings.ROLES:
        return None
    if wiring.predict_application is None:
        raise InvalidConfigurationError("the inference app announced no predict application")
    return wiring.predict_application()
