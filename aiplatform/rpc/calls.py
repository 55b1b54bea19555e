"""One gRPC call as plain values, so that policy, engine and forwarder need no grpc.

A `CallApplication` answers a call or raises a PlatformError. The caller of an inference application
has checked the identity that stands in the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiplatform.contracts.predict import SUBJECT_HEADER, TRACE_HEADER
from aiplatform.identity import Identity

V2_SERVICE = "/inference.GRPCInferenceService/"
PREDICTION_SERVICE = "/tensorflow.serving.PredictionService/"
MODEL_SERVICE = "/tensorflow.serving.ModelService/"
HEALTH_METHOD = "/grpc.health.v1.Health/Check"
SERVICES = (V2_SERVICE, PREDICTION_SERVICE, MODEL_SERVICE, HEALTH_METHOD)

SERVER_LIVE = f"{V2_SERVICE}ServerLive"
# They tell nothing of any model, so they need no token.
OPEN_METHODS = frozenset({SERVER_LIVE, f"{V2_SERVICE}ServerReady", f"{V2_SERVICE}ServerMetadata", HEALTH_METHOD})
PREDICT_METHODS = frozenset(
    {f"{V2_SERVICE}ModelInfer", *(f"{PREDICTION_SERVICE}{name}" for name in ("Predict", "Classify", "Regress"))}
)

AUTHORIZATION_KEY = "authorization"
REQUEST_ID_KEY = "x-request-id"
SIGNATURE_KEY = "x-platform-signature"
IDENTITY_KEY = "x-platform-identity-bin"  # a user's name need not be ASCII
ERROR_CODE_KEY = "x-error-code"  # of errors.py; tells an answer of ours from a failure of the transport
RETRY_AFTER_KEY = "retry-after"

PASSED_ON = (TRACE_HEADER, SUBJECT_HEADER.lower())  # of a caller's metadata, by the gateway

Pairs = tuple[tuple[str, str], ...]


@dataclass(slots=True, kw_only=True)
class Call:
    """A unary call. `deadline_s` is what is left of the caller's patience; None: it set none."""

    method: str
    body: bytes
    metadata: Mapping[str, str | bytes]
    request_id: str
    deadline_s: float | None = None
    identity: Identity | None = None
    trailers: list[tuple[str, str]] = field(default_factory=list)  # for the answer, be it good or bad

    def text(self, key: str) -> str:
        """Return a metadata value, or '' if it is not there."""
        value = self.metadata.get(key, "")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def passed_on(self) -> Pairs:
        """Return what the gateway forwards as the caller sent it."""
        return tuple((key, self.text(key)) for key in PASSED_ON if self.metadata.get(key))


CallApplication = Callable[[Call], Awaitable[bytes]]
