"""The predict protocols on the lane: rows in, rows out, with no task in between.

The same reading, scheduling and writing as in `asgi.py`. What may take long to read, an uploaded picture or
a packed body, goes the ordinary way.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass

import structlog

from aiplatform.contracts.predict import DEADLINE_HEADER, PRIORITY_HEADER, SUBJECT_HEADER, TRACE_HEADER
from aiplatform.errors import PlatformError
from aiplatform.http.lane import Exchange, Head, Plan
from aiplatform.http.lane.exchange import field_lines
from aiplatform.http.lane.head import MAY_VARY
from inference.attempts import Answer
from inference.predict_request import (
    Decoding,
    encode_answer,
    failure_headers,
    read_deadline_s,
    read_origin,
    read_priority,
    routing_key,
)
from inference.protocols.binary_tensors import HEAD_SIZE_HEADER, read_head_size
from inference.protocols.content_encoding import MIN_PACKED_BYTES, choose_encoding, pack_answer
from inference.protocols.image_upload import MULTIPART
from inference.protocols.messages import Encoded
from inference.protocols.paths import PREDICTING, Target, parse_target
from inference.recording_api import Origin
from inference.scheduler import Priority
from inference.serving import ServingRuntime, runtime

MAX_BODY_BYTES = 256 * 1024  # a larger body takes some milliseconds to read
MAX_PACKED_BYTES = 16 * 1024  # a larger answer is packed in a thread

log = structlog.get_logger(__name__)

_DEADLINE = DEADLINE_HEADER.lower().encode()
_PRIORITY = PRIORITY_HEADER.lower().encode()
_TRACE = TRACE_HEADER.lower().encode()
_SUBJECT = SUBJECT_HEADER.lower().encode()
_HEAD_SIZE = HEAD_SIZE_HEADER.lower().encode()


@dataclass(frozen=True, slots=True, eq=False)
class _PredictPlan:
    path: str
    target: Target
    head_size: int | None
    deadline_s: float | None
    priority: Priority
    accepted: str
    origin: Origin | None
    routing_key: str  # as its header says


class PredictLane:
    """Answers predict requests for what a runtime serves."""

    def __init__(self, serving: ServingRuntime) -> None:
        self._serving = serving
        self._routing_header = serving.options.routing_key_header.lower().encode()
        self.varying = MAY_VARY - {self._routing_header}  # it may be the request's id

    def plan(self, head: Head) -> Plan | None:
        """Return what a head asks, if it asks for a prediction in a usual way."""
        if head.content_length > min(MAX_BODY_BYTES, self._serving.options.max_body_bytes):
            return None
        if b"content-encoding" in head.headers or head.text(b"content-type").startswith(MULTIPART):
            return None
        try:
            target = parse_target("POST", head.path)
            if target.operation not in PREDICTING:
                return None
            return _PredictPlan(
                head.path,
                target,
                read_head_size(head.text(_HEAD_SIZE), head.content_length),
                read_deadline_s(head.text(_DEADLINE), self._serving.options.max_deadline_s),
                read_priority(head.text(_PRIORITY)),
                head.text(b"accept-encoding"),
                read_origin(head.text(_TRACE), head.text(_SUBJECT)),
                head.text(self._routing_header) if self._routing_header else "",
            )
        except PlatformError:
            return None  # the ordinary way says what is wrong with it

    def start(self, plan: Plan, body: bytes, exchange: Exchange) -> bool:
        """Read the rows and let them wait for the engine."""
        decoding = Decoding(plan.target.operation, body, plan.head_size)
        try:
            started = self._serving.service.start(
                plan.target.model,
                inputs=decoding,
                take=functools.partial(_answer, plan, decoding, exchange),
                version=plan.target.version,
                label=plan.target.label,
                key=self._key(plan, exchange),
                deadline_s=plan.deadline_s,
                priority=plan.priority,
                origin=plan.origin,
            )
        except Exception as error:  # noqa: BLE001  the last line of defence: a client always gets an answer
            _refuse(plan, exchange, error)
            return True
        exchange.on_gone = started.cancel
        return True

    def _key(self, plan: _PredictPlan, exchange: Exchange) -> str | None:
        """Return what keeps a caller with one version; None if one version answers all."""
        route = self._serving.table.routes.get(plan.target.model)
        return routing_key(plan.routing_key, exchange.identity) if route is not None and route.is_split else None


def build_lane() -> PredictLane:
    """Return the lane for what this process serves."""
    return PredictLane(runtime())


def _answer(plan: _PredictPlan, decoding: Decoding, exchange: Exchange, answer: Answer | PlatformError) -> None:
    if isinstance(answer, PlatformError):
        _refuse(plan, exchange, answer)
        return
    try:
        encoded = encode_answer(plan.target, decoding.request, answer)
        if plan.accepted and len(encoded.body) >= MIN_PACKED_BYTES:
            _send_packed(plan, encoded, exchange)
        else:
            _send(exchange, encoded, encoded.body)
    except Exception as error:  # noqa: BLE001  as above
        _refuse(plan, exchange, error)


def _send(exchange: Exchange, encoded: Encoded, body: bytes, fields: bytes = b"") -> None:
    exchange.answer(200, body, content_type=encoded.content_type, fields=field_lines(encoded.headers) + fields)


def _send_packed(plan: _PredictPlan, encoded: Encoded, exchange: Exchange) -> None:
    encoding = choose_encoding(plan.accepted)
    if not encoding:
        _send(exchange, encoded, encoded.body)
        return
    fields = b"content-encoding: %s\r\nvary: accept-encoding\r\n" % encoding.encode()
    if len(encoded.body) <= MAX_PACKED_BYTES:
        _send(exchange, encoded, pack_answer(encoded.body, encoding), fields)
        return

    def send_later(packing: asyncio.Future[bytes]) -> None:
        _send(exchange, encoded, packing.result(), fields)

    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, pack_answer, encoded.body, encoding).add_done_callback(send_later)


def _refuse(plan: _PredictPlan, exchange: Exchange, error: Exception) -> None:
    if isinstance(error, PlatformError):
        log.info(
            "predict_failed",
            path=plan.path,
            http_status=error.http_status,
            code=error.code,
            error=error.message,
            request_id=exchange.request_id,
            username=exchange.identity.username if exchange.identity else "",
        )
    else:
        log.error("predict_crashed", path=plan.path, request_id=exchange.request_id, exc_info=error)
        error = PlatformError(f"the server failed: {type(error).__name__}")
    exchange.refuse(error, fields=field_lines(failure_headers(error)))
