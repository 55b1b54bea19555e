"""What a predict request asks beside its path, how its rows are read, and how its answer is written.

Shared by the two ways in: the ASGI application and the lane.
"""

from __future__ import annotations

from aiplatform.artifacts import Manifest
from aiplatform.contracts.predict import DEADLINE_HEADER, MODEL_VERSION_HEADER, PREDICTION_ID_HEADER, PRIORITY_HEADER
from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.identity import Identity
from inference.attempts import Answer
from inference.protocols import open_inference, tf_examples, tf_serving
from inference.protocols.messages import Encoded, InferRequest, InferResponse
from inference.protocols.paths import EXAMPLE_OPERATIONS, Operation, Target
from inference.recording_api import Origin
from inference.scheduler import Priority

RETRY_AFTER_S = 1
CALLERS_PRIORITIES = {p.name.lower(): p for p in (Priority.HIGH, Priority.NORMAL, Priority.LOW)}

_PREDICTION_ID = PREDICTION_ID_HEADER.lower().encode()
_MODEL_VERSION = MODEL_VERSION_HEADER.lower().encode()


class Decoding:
    """Reads the inputs once the version, and so the signature, is known; keeps the request for the answer."""

    __slots__ = ("_body", "_head_size", "_operation", "request")

    request: InferRequest

    def __init__(self, operation: Operation, body: bytes, head_size: int | None) -> None:
        self._operation = operation
        self._body = body
        self._head_size = head_size

    def __call__(self, manifest: Manifest) -> InferRequest:
        if self._operation is Operation.V2_INFER:
            self.request = open_inference.decode_infer(self._body, manifest.signature, head_size=self._head_size)
        elif self._operation in EXAMPLE_OPERATIONS:
            self.request = tf_examples.decode_examples(self._body, manifest, self._operation)
        else:
            self.request = tf_serving.decode_predict(self._body, manifest.signature)
        return self.request


def read_deadline_s(text: str, longest_s: float) -> float | None:
    """Return the caller's patience from its header, at most `longest_s`; None if it does not say.

    Raises: InvalidInputError.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:12]) > 0):
        raise InvalidInputError(f"{DEADLINE_HEADER} is a whole number of milliseconds from 1, not '{text:.40}'")
    return min(int(text[:12]) / 1000, longest_s)


def read_priority(text: str) -> Priority:
    """Return the priority from its header.

    Raises: InvalidInputError.
    """
    if not text:
        return Priority.NORMAL
    try:
        return CALLERS_PRIORITIES[text.lower()]
    except KeyError:
        names = ", ".join(CALLERS_PRIORITIES)
        raise InvalidInputError(f"{PRIORITY_HEADER} is one of {names}, not '{text:.40}'") from None


def read_origin(traceparent: str, subject: str) -> Origin | None:
    """Return where a request comes from by its headers; None if it does not say."""
    return Origin(traceparent, subject) if traceparent or subject else None


def routing_key(given: str, identity: Identity | None) -> str | None:
    """Return what keeps a caller with one version: what its header says, else its user, else nothing."""
    return given or (identity.username if identity is not None else "") or None


def failure_headers(error: PlatformError) -> list[tuple[bytes, bytes]]:
    """Return what the caller of a failed request is told beside the error: the version, and when to try again."""
    headers = []
    if error.model_version is not None:
        headers.append((_MODEL_VERSION, b"%d" % error.model_version))
    if error.http_status == 503 and getattr(error, "retry_after_s", None) is None:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
    return headers


def encode_answer(target: Target, request: InferRequest, answer: Answer) -> Encoded:
    """Return the answer in the protocol of its request, with the headers that name prediction and version."""
    response = InferResponse(
        model=target.model,
        version=answer.version,
        prediction_id=answer.prediction_id,
        outputs=answer.outputs,
        labels=answer.manifest.labels,
    )
    if target.operation in EXAMPLE_OPERATIONS:
        encoded = tf_examples.encode_results(answer.outputs, answer.manifest, target.operation)
    else:
        codec = open_inference.encode_infer if target.operation is Operation.V2_INFER else tf_serving.encode_predict
        encoded = codec(request, response)
    encoded.headers = (
        (_PREDICTION_ID, answer.prediction_id.encode()),
        (_MODEL_VERSION, str(answer.version).encode()),
        *encoded.headers,
    )
    return encoded
