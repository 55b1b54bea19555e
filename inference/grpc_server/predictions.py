"""The calls that predict: read the message, run it as every other way in does, write the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiplatform.artifacts import Manifest
from aiplatform.contracts.predict import MODEL_VERSION_HEADER, PREDICTION_ID_HEADER, SUBJECT_HEADER, TRACE_HEADER
from aiplatform.errors import PlatformError
from aiplatform.rpc.calls import Call, answer_later
from aiplatform.rpc.fields import field, repeated_field
from inference.attempts import Answer
from inference.predict_request import read_origin, routing_key
from inference.protocols import grpc_tf_examples, grpc_tf_serving, grpc_v2
from inference.protocols.grpc_known import InferCall, KnownInferCalls
from inference.protocols.grpc_messages import parse_version
from inference.protocols.messages import InferRequest, InferResponse
from inference.protocols.paths import Operation
from inference.recording_api import Origin
from inference.serving import ServingRuntime

LARGE_BODY_BYTES = 256 * 1024  # takes some milliseconds to read

_PREDICTION_ID = PREDICTION_ID_HEADER.lower()
_MODEL_VERSION = MODEL_VERSION_HEADER.lower()
_SUBJECT = SUBJECT_HEADER.lower()


class Prediction(Protocol):
    """One call as its protocol sees it: which version it wants, how it is read and answered."""

    model: str
    version: int | None
    label: str | None

    def read(self, manifest: Manifest) -> InferRequest:
        """Return the request. Raises: InvalidInputError."""
        ...

    def encode(self, answer: Answer) -> bytes:
        """Return the answer."""
        ...


class Predictions:
    """ModelInfer and Predict on what a runtime serves."""

    def __init__(self, serving: ServingRuntime) -> None:
        self._serving = serving
        self._known = KnownInferCalls()

    def infer(self, call: Call) -> None:
        """Answer V2's ModelInfer."""
        self._answer(call, self._parse_infer)

    def predict(self, call: Call) -> None:
        """Answer TF Serving's Predict."""
        max_bytes = self._serving.options.max_body_bytes
        self._answer(call, lambda body: PredictPrediction(body, max_bytes))

    def classify(self, call: Call) -> None:
        """Answer TF Serving's Classify."""
        self._answer(call, lambda body: ExamplesPrediction(body, Operation.V1_CLASSIFY))

    def regress(self, call: Call) -> None:
        """Answer TF Serving's Regress."""
        self._answer(call, lambda body: ExamplesPrediction(body, Operation.V1_REGRESS))

    def _answer(self, call: Call, parse: Callable[[bytes], Prediction]) -> None:
        if len(call.body) > LARGE_BODY_BYTES:
            answer_later(call, self._answer_large(call, parse))
            return
        prediction = parse(call.body)

        def take(answer: Answer | PlatformError) -> None:
            if isinstance(answer, PlatformError):
                call.fail(answer)
                return
            try:
                call.answer(_encoded(call, prediction, answer))
            except PlatformError as error:
                call.fail(error)
            except Exception as error:  # noqa: BLE001 - a client always gets an answer
                call.crash(error)

        started = self._serving.service.start(
            prediction.model,
            inputs=prediction.read,
            take=take,
            version=prediction.version,
            label=prediction.label,
            key=self._routing_key(call, prediction.model),
            deadline_s=self._deadline_s(call),
            origin=_origin(call),
        )
        call.on_cancel = started.cancel

    async def _answer_large(self, call: Call, parse: Callable[[bytes], Prediction]) -> bytes:
        """Answer a call of which reading alone would hold up the others."""
        prediction = await asyncio.to_thread(parse, call.body)
        answer = await self._serving.service.predict(
            prediction.model,
            inputs=prediction.read,
            version=prediction.version,
            label=prediction.label,
            key=self._routing_key(call, prediction.model),
            deadline_s=self._deadline_s(call),
            origin=_origin(call),
            reads_slowly=True,
        )
        return await asyncio.to_thread(_encoded, call, prediction, answer)

    def _parse_infer(self, body: bytes) -> InferPrediction:
        is_small = len(body) <= LARGE_BODY_BYTES  # else a thread parses, and what is known is the loop's
        return InferPrediction(self._known.parse(body) if is_small else InferCall(grpc_v2.parse_infer(body)), body)

    def _routing_key(self, call: Call, model: str) -> str | None:
        """Return what keeps a caller with one version, as for HTTP; None if one version answers all."""
        route = self._serving.table.routes.get(model)
        if route is None or not route.is_split:
            return None
        name = self._serving.options.routing_key_header.lower()
        return routing_key(call.text(name) if name else "", call.identity)

    def _deadline_s(self, call: Call) -> float | None:
        return None if call.deadline_s is None else min(call.deadline_s, self._serving.options.max_deadline_s)


class InferPrediction:
    """A ModelInfer call."""

    label: str | None = None

    _request: InferRequest

    def __init__(self, call: InferCall, body: bytes) -> None:
        self._call = call
        self._body = body
        self.model = call.model
        self.version = parse_version(call.version)

    def read(self, manifest: Manifest) -> InferRequest:
        """Return the request. Raises: InvalidInputError."""
        self._request = self._call.decode(self._body, manifest.signature)
        return self._request

    def encode(self, answer: Answer) -> bytes:
        """Return the answer, raw if the request is."""
        return grpc_v2.encode_infer(self._request, _response(self.model, answer), is_raw=self._call.is_raw)


class PredictPrediction:
    """A TF Serving Predict call."""

    _request: InferRequest

    def __init__(self, body: bytes, max_bytes: int) -> None:
        self._message = grpc_tf_serving.parse_predict(body)
        self._max_bytes = max_bytes
        self.model = self._message.model_spec.name
        self.version, self.label = grpc_tf_serving.read_version(self._message.model_spec)

    def read(self, manifest: Manifest) -> InferRequest:
        """Return the request. Raises: InvalidInputError."""
        self._request = grpc_tf_serving.decode_predict(self._message, manifest.signature, max_bytes=self._max_bytes)
        return self._request

    def encode(self, answer: Answer) -> bytes:
        """Return the answer."""
        return grpc_tf_serving.encode_predict(
            self._request, _response(self.model, answer), answer.manifest.signature.name
        )


class ExamplesPrediction:
    """A TF Serving Classify or Regress call."""

    def __init__(self, body: bytes, operation: Operation) -> None:
        self._message = grpc_tf_examples.parse_examples(body, operation)
        self._operation = operation
        self.model = self._message.model_spec.name
        self.version, self.label = grpc_tf_serving.read_version(self._message.model_spec)

    def read(self, manifest: Manifest) -> InferRequest:
        """Return the request. Raises: InvalidInputError."""
        return grpc_tf_examples.decode_examples(self._message, manifest, self._operation)

    def encode(self, answer: Answer) -> bytes:
        """Return the answer."""
        return grpc_tf_examples.encode_results(_response(self.model, answer), answer.manifest, self._operation)


def _origin(call: Call) -> Origin | None:
    return read_origin(call.text(TRACE_HEADER), call.text(_SUBJECT))


def _encoded(call: Call, prediction: Prediction, answer: Answer) -> bytes:
    call.trailers += (field(_PREDICTION_ID, answer.prediction_id), repeated_field(_MODEL_VERSION, str(answer.version)))
    return prediction.encode(answer)


def _response(model: str, answer: Answer) -> InferResponse:
    return InferResponse(
        model=model,
        version=answer.version,
        prediction_id=answer.prediction_id,
        outputs=answer.outputs,
        labels=answer.manifest.labels,
    )
