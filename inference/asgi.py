"""The predict routes as a raw ASGI application: no middleware, no database, one hop to the engine.

The caller (the gateway's door, or the signature check) has put the identity into the scope.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from aiplatform.artifacts import Manifest
from aiplatform.context import REQUEST_ID_HEADER, choose_request_id
from aiplatform.contracts.predict import (
    DEADLINE_HEADER,
    IDENTITY_STATE,
    PRIORITY_HEADER,
    REQUEST_ID_STATE,
    SUBJECT_HEADER,
    TRACE_HEADER,
)
from aiplatform.errors import PlatformError
from aiplatform.http.asgi_body import (
    CLOSE,
    BodyWatch,
    ClientDisconnectedError,
    header,
    read_body,
    replay_event,
    send_error,
)
from aiplatform.http.closing import last_headers, leaving
from aiplatform.tensors import DType
from aiplatform.wiring import Receive, Scope, Send
from inference.engines import Arrays
from inference.model_questions import answer_index, answer_question
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
from inference.protocols.content_encoding import MIN_PACKED_BYTES, choose_encoding, pack_answer, unpack_body
from inference.protocols.image_upload import MULTIPART, decode_upload
from inference.protocols.messages import Encoded, InferRequest
from inference.protocols.paths import Operation, Target, parse_target
from inference.serving import ServingRuntime, runtime

WATCH_AFTER_S = 0.1  # a client that waits longer than this is watched, in case it goes away
LARGE_BODY_BYTES = 256 * 1024  # takes some milliseconds to read

log = structlog.get_logger(__name__)

_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()


class PredictApplication:
    """Answers the predict protocols for what a runtime serves."""

    def __init__(self, serving: ServingRuntime) -> None:
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state", {})
        watched = receive if isinstance(receive, BodyWatch) else BodyWatch(receive)
        request_id = state.get(REQUEST_ID_STATE) or choose_request_id(header(scope, REQUEST_ID_HEADER))
        try:
            target = parse_target(scope["method"], scope["path"])
            status, encoded = await self._answer(target, scope, watched)
            encoded = await _pack(encoded, header(scope, "accept-encoding"))
        except ClientDisconnectedError:
            return
        except PlatformError as error:
            await _refuse(send, scope, request_id, error, watched)
            return
        except Exception as error:  # the last line of defence: a client always gets an answer
            log.exception("predict_crashed", path=scope["path"], request_id=request_id)
            failure = PlatformError(f"the server failed: {type(error).__name__}")
            await _refuse(send, scope, request_id, failure, watched)
            return
        # The door, which chose the id, also sends it.
        own_id = "" if REQUEST_ID_STATE in state else request_id
        await _send(send, status, encoded, own_id, has_body=scope["method"] != "HEAD")

    async def _answer(self, target: Target, scope: Scope, receive: Receive) -> tuple[int, Encoded]:
        if target.operation.method == "GET":
            return answer_question(target, self._serving)
        if target.operation is Operation.V2_INDEX:
            return 200, answer_index(await self._read_body(scope, receive), self._serving.table)
        route = self._serving.table.route(target.model)  # an unknown model is refused before its body is read
        deadline_s = read_deadline_s(header(scope, DEADLINE_HEADER), self._serving.options.max_deadline_s)
        content_type = header(scope, "content-type")
        body = await self._read_body(scope, receive)
        head_size = read_head_size(header(scope, HEAD_SIZE_HEADER), len(body))
        is_upload = content_type.startswith(MULTIPART) and target.operation is Operation.V1_PREDICT
        decoding = (
            self._upload_decoding(body, content_type) if is_upload else Decoding(target.operation, body, head_size)
        )
        answer = await self._serving.service.predict(
            target.model,
            inputs=decoding,
            version=target.version,
            label=target.label,
            key=self._routing_key(scope) if route.is_split else None,
            deadline_s=deadline_s,
            priority=read_priority(header(scope, PRIORITY_HEADER)),
            reads_slowly=is_upload or (len(body) > LARGE_BODY_BYTES and self._is_slow(target, head_size)),
            origin=read_origin(header(scope, TRACE_HEADER), header(scope, SUBJECT_HEADER)),
            watch=lambda: _Watch(receive),
        )
        return 200, encode_answer(target, decoding.request, answer)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        limit_bytes = self._serving.options.max_body_bytes
        event = await receive()
        body: bytes = event.get("body", b"")
        if event.get("more_body") or len(body) > limit_bytes or event["type"] == "http.disconnect":
            body = await read_body(replay_event(event, receive), limit_bytes=limit_bytes)
        encoding = header(scope, "content-encoding")
        if not encoding or encoding.lower() == "identity":
            return body
        return await asyncio.to_thread(unpack_body, body, encoding, limit_bytes=limit_bytes)

    def _is_slow(self, target: Target, head_size: int | None) -> bool:
        """Say whether a large body takes long to read: numbers in binary form are not read at all."""
        if target.operation is not Operation.V2_INFER or head_size is None or head_size > LARGE_BODY_BYTES:
            return True
        versions = self._serving.table.route(target.model).versions.values()
        return any(spec.dtype is DType.BYTES for loaded in versions for spec in loaded.manifest.signature.inputs)

    def _upload_decoding(self, body: bytes, content_type: str) -> _UploadDecoding:
        return _UploadDecoding(body, content_type, self._serving.options.max_image_pixels)

    def _routing_key(self, scope: Scope) -> str | None:
        name = self._serving.options.routing_key_header
        identity = scope.get("state", {}).get(IDENTITY_STATE)
        return routing_key(header(scope, name) if name else "", identity)


class _UploadDecoding:
    """The same for an uploaded picture."""

    request: InferRequest

    def __init__(self, body: bytes, content_type: str, max_pixels: int) -> None:
        self._body = body
        self._content_type = content_type
        self._max_pixels = max_pixels

    def __call__(self, manifest: Manifest) -> Arrays:
        self.request = decode_upload(
            self._body,
            self._content_type,
            signature=manifest.signature,
            image=manifest.image,
            max_pixels=self._max_pixels,
        )
        return self.request.inputs


class _Watch:
    """Ends the request when its client goes away, so that its rows leave the queue."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._request = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._is_gone = False

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._is_gone and isinstance(error, asyncio.CancelledError) and self._request is not None:
            self._request.uncancel()
            raise ClientDisconnectedError from error

    def _start(self) -> None:
        self._watcher = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        event = await self._receive()
        if event["type"] == "http.disconnect" and self._request is not None:
            self._is_gone = True
            self._request.cancel()


def build_application() -> PredictApplication:
    """Return the application for what this process serves."""
    return PredictApplication(runtime())


async def _pack(encoded: Encoded, accepted: str) -> Encoded:
    if not accepted or len(encoded.body) < MIN_PACKED_BYTES:
        return encoded
    encoding = choose_encoding(accepted)
    if not encoding:
        return encoded
    slowly = len(encoded.body) > LARGE_BODY_BYTES
    body = (
        await asyncio.to_thread(pack_answer, encoded.body, encoding) if slowly else pack_answer(encoded.body, encoding)
    )
    described = ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
    return Encoded(body, encoded.content_type, (*encoded.headers, *described))


async def _send(send: Send, status: int, encoded: Encoded, request_id: str, *, has_body: bool) -> None:
    headers = [
        (b"content-type", encoded.content_type),
        (b"content-length", b"%d" % len(encoded.body)),
        *encoded.headers,
        *last_headers(),
    ]
    if request_id:
        headers.append((_REQUEST_ID, request_id.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": encoded.body if has_body else b""})


async def _refuse(send: Send, scope: Scope, request_id: str, error: PlatformError, watched: BodyWatch) -> None:
    identity = scope.get("state", {}).get(IDENTITY_STATE)
    log.info(
        "predict_failed",
        path=scope["path"],
        http_status=error.http_status,
        code=error.code,
        error=error.message,
        request_id=request_id,
        username=getattr(identity, "username", ""),
    )
    is_behind_door = REQUEST_ID_STATE in scope.get("state", {})
    headers = [] if is_behind_door else [(_REQUEST_ID, request_id.encode())]
    if "allow" in error.details:
        headers.append((b"allow", str(error.details["allow"]).encode()))
    headers += failure_headers(error)
    if leaving.has_begun or not await watched.finish():
        headers += CLOSE
    await send_error(send, error, headers=headers)
