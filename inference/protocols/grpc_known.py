"""ModelInfer requests that differ from earlier ones only in their one tensor's values are not parsed again.

A client repeats itself: model, names, types and shapes are the same bytes in each of its requests, and all but the last
field, `raw_input_contents`. Those bytes are remembered with what they mean. That is exact: what is before the
last field was a whole message by itself, and a field's tag and length stand among the bytes compared.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols import grpc_v2
from inference.protocols.binary_tensors import array_from_bytes
from inference.protocols.messages import Form, InferRequest
from inference.protocols.protos.open_inference_pb2 import ModelInferRequest

MOST_KNOWN = 256
LONGEST_START_BYTES = 2048
_RAW_TAG = b"\x3a"  # raw_input_contents: field 7, with a length


class InferCall:
    """A ModelInfer request: parsed, or known by its beginning. `raw_at` is where its only tensor begins; 0: unknown."""

    __slots__ = ("_message", "_plan", "is_raw", "model", "raw_at", "version")

    def __init__(self, message: ModelInferRequest, raw_at: int = 0) -> None:
        self._message = None if raw_at else message  # what is kept for long keeps no tensor
        self._plan: tuple[Signature, TensorSpec, list[int], InferRequest] | None = None
        self.model: str = message.model_name
        self.version: str = message.model_version
        self.is_raw = bool(message.raw_input_contents)
        self.raw_at = raw_at

    def decode(self, body: bytes, signature: Signature) -> InferRequest:
        """Return the request in a body. Raises: InvalidInputError naming the rule and the value."""
        plan = self._plan
        if plan is None or plan[0] is not signature:
            request = grpc_v2.decode_infer(self._message or grpc_v2.parse_infer(body), signature)
            if self.raw_at:
                self._remember(signature, request)
            return request
        _, spec, shape, like = plan
        array = array_from_bytes(body, self.raw_at, len(body) - self.raw_at, shape, spec)
        return InferRequest(
            inputs={spec.name: array}, form=Form.TENSORS, outputs=like.outputs, layout=like.layout, urgency=like.urgency
        )

    def _remember(self, signature: Signature, request: InferRequest) -> None:
        spec = signature.inputs[0]
        if len(signature.inputs) == 1 and spec.dtype is not DType.BYTES:
            like = InferRequest(
                inputs={}, form=request.form, outputs=request.outputs, layout=request.layout, urgency=request.urgency
            )
            self._plan = (signature, spec, list(request.inputs[spec.name].shape), like)


class KnownInferCalls:
    """The beginnings of earlier requests, by the length of the whole. For one event loop."""

    def __init__(self) -> None:
        self._starts: dict[int, list[tuple[bytes, InferCall]]] = {}
        self._count = 0

    def parse(self, body: bytes) -> InferCall:
        """Return what a body says. Raises: InvalidInputError if it is no ModelInferRequest."""
        for start, known in self._starts.get(len(body), ()):
            if body.startswith(start):
                return known
        message = grpc_v2.parse_infer(body)
        raw = message.raw_input_contents
        if len(raw) == 1 and len(message.inputs) == 1 and not message.id and raw[0]:
            return self._learn(body, message)
        return InferCall(message)

    def _learn(self, body: bytes, message: ModelInferRequest) -> InferCall:
        size = len(message.raw_input_contents[0])
        start = body[: len(body) - size]
        tag = _RAW_TAG + grpc_v2.varint(size)
        if len(start) > LONGEST_START_BYTES or not start.endswith(tag) or not _is_message(start[: -len(tag)]):
            return InferCall(message)
        if self._count >= MOST_KNOWN:
            self._starts.clear()
            self._count = 0
        self._count += 1
        call = InferCall(message, len(start))
        self._starts.setdefault(len(body), []).append((start, call))
        return call


def _is_message(start: bytes) -> bool:
    """Say whether bytes are a message without raw contents: then what follows them begins a field."""
    message = ModelInferRequest()
    try:
        message.ParseFromString(start)
    except DecodeError:
        return False
    return not message.raw_input_contents
