"""The calls that predict: read the message, run it as every other way in does, write the answer."""

from __future__ import annotations

from aiplatform.artifacts import Manifest
from aiplatform.contracts.predict import MODEL_VERSION_HEADER, PREDICTION_ID_HEADER, SUBJECT_HEADER, TRACE_HEADER
from aiplatform.rpc.calls import Call
from inference.engines import Arrays
from inference.protocols import grpc_tf_serving, grpc_v2
from inference.protocols.grpc_messages import parse_version
from inference.protocols.messages import InferRequest, InferResponse
from inference.recording_api import Origin
from inference.serving import Answer, ServingRuntime

LARGE_BODY_BYTES = 256 * 1024  # takes some milliseconds to read

_PREDICTION_ID = PREDICTION_ID_HEADER.lower()
_MODEL_VERSION = MODEL_VERSION_HEADER.lower()
_SUBJECT = SUBJECT_HEADER.lower()


class Predictions:
    """ModelInfer and Predict on what a runtime serves."""

    def __init__(self, serving: ServingRuntime) -> None:
        self._serving = serving

    async def infer(self, call: Call) -> bytes:
        """Answer V2's ModelInfer."""
        message = grpc_v2.parse_infer(call.body)
        request: InferRequest | None = None

        def read(manifest: Manifest) -> Arrays:
            nonlocal request
            request = grpc_v2.decode_infer(message, manifest.signature)
            return request.inputs

        answer = await self._serving.service.predict(
            message.model_name,
            inputs=read,
            version=parse_version(message.model_version),
            key=self._routing_key(call, message.model_name),
            deadline_s=self._deadline_s(call),
            origin=lambda: _origin(call, request),
            reads_slowly=len(call.body) > LARGE_BODY_BYTES,
        )
        response = _response(call, message.model_name, answer)
        assert request is not None  # noqa: S101 - its inputs have been read, or there would be no answer
        return grpc_v2.encode_infer(request, response, is_raw=bool(message.raw_input_contents))

    async def predict(self, call: Call) -> bytes:
        """Answer TF Serving's Predict."""
        message = grpc_tf_serving.parse_predict(call.body)
        version, label = grpc_tf_serving.read_version(message.model_spec)
        max_bytes = self._serving.options.max_body_bytes
        request: InferRequest | None = None

        def read(manifest: Manifest) -> Arrays:
            nonlocal request
            request = grpc_tf_serving.decode_predict(message, manifest.signature, max_bytes=max_bytes)
            return request.inputs

        answer = await self._serving.service.predict(
            message.model_spec.name,
            inputs=read,
            version=version,
            label=label,
            key=self._routing_key(call, message.model_spec.name),
            deadline_s=self._deadline_s(call),
            origin=lambda: _origin(call, request),
            reads_slowly=len(call.body) > LARGE_BODY_BYTES,
        )
        response = _response(call, message.model_spec.name, answer)
        assert request is not None  # noqa: S101 - as above
        return grpc_tf_serving.encode_predict(request, response, answer.manifest.signature.name)

    def _routing_key(self, call: Call, model: str) -> str | None:
        """Return what keeps a caller with one version, as for HTTP; None if one version answers all."""
        route = self._serving.table.routes.get(model)
        if route is None or not route.is_split:
            return None
        name = self._serving.options.routing_key_header.lower()
        return (name and call.text(name)) or getattr(call.identity, "username", "") or None

    def _deadline_s(self, call: Call) -> float | None:
        return None if call.deadline_s is None else min(call.deadline_s, self._serving.options.max_deadline_s)


def _origin(call: Call, request: InferRequest | None) -> Origin:
    subject = call.text(_SUBJECT) or (request.subject if request is not None else "")
    return Origin(call.text(TRACE_HEADER), subject)


def _response(call: Call, model: str, answer: Answer) -> InferResponse:
    call.trailers += ((_PREDICTION_ID, answer.prediction_id), (_MODEL_VERSION, str(answer.version)))
    return InferResponse(
        model=model,
        version=answer.version,
        prediction_id=answer.prediction_id,
        outputs=answer.outputs,
        labels=answer.manifest.labels,
    )
