"""Predictions on the lane of a gateway that stands alone: asked of the inference service, with no task in between."""

from __future__ import annotations

import time
from functools import partial

import structlog

from aiplatform.contracts.predict import DEADLINE_HEADER
from aiplatform.errors import PlatformError
from aiplatform.http.codec import JSON_TYPE
from aiplatform.http.lane import Exchange, Head, Plan
from aiplatform.http.lane.exchange import field_lines
from aiplatform.http.lane.head import MAY_VARY
from gateway.forwarding.asking import ForwardedRequest
from gateway.forwarding.connection import Response
from gateway.forwarding.headers import raw_request_headers, raw_response_headers
from gateway.forwarding.predictions import PredictForwarder

log = structlog.get_logger(__name__)

_DEADLINE = DEADLINE_HEADER.lower().encode()
_CONTENT_TYPE = b"content-type"
_JSON = JSON_TYPE.encode()


class ForwardLane:
    """Answers what a forwarder is answered."""

    varying = MAY_VARY

    def __init__(self, forwarder: PredictForwarder, *, max_body_bytes: int) -> None:
        self._forwarder = forwarder
        self._max_body_bytes = max_body_bytes

    def plan(self, head: Head) -> Plan | None:
        """Return what of a request travels on; a patience that is none is refused the ordinary way."""
        if head.content_length > self._max_body_bytes:
            return None
        try:
            wait_s = self._forwarder.patience_s(head.text(_DEADLINE))
        except PlatformError:
            return None
        headers = raw_request_headers(head.headers.items())
        return ForwardedRequest("POST", head.path, head.path, headers, wait_s)

    def start(self, plan: Plan, body: bytes, exchange: Exchange) -> bool:
        """Ask, and answer when the answer comes."""
        if exchange.identity is None:
            return False
        asking = self._forwarder.asking(
            plan,
            body,
            ends_at_s=time.monotonic() + plan.wait_s,
            identity=exchange.identity,
            request_id=exchange.request_id,
        )
        exchange.on_gone = self._forwarder.start(asking, partial(_answer, exchange))
        return True


def _answer(exchange: Exchange, result: Response | Exception) -> None:
    if isinstance(result, Response):
        try:
            _send_back(exchange, result)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a client always gets an answer
            _answer(exchange, error)
    elif isinstance(result, PlatformError):
        if result.http_status >= 500:
            log.warning("request_refused", code=result.code, error=result.message, request_id=exchange.request_id)
        exchange.refuse(result)
    else:
        log.error("request_failed", request_id=exchange.request_id, exc_info=result)
        exchange.refuse(PlatformError("the request failed; its id stands in the log"))


def _send_back(exchange: Exchange, response: Response) -> None:
    headers = raw_response_headers(response.headers)
    content_type = next((value for name, value in headers if name == _CONTENT_TYPE), _JSON)
    fields = field_lines(header for header in headers if header[0] != _CONTENT_TYPE)
    exchange.answer(response.status, response.body, content_type=content_type, fields=fields)
