"""Answers gRPC calls: a table of methods, each from bytes to bytes.

The caller (the gateway's door, or the signature check) has put the identity into the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiplatform.errors import MethodNotAllowedError
from aiplatform.rpc.calls import HEALTH_METHOD, MODEL_SERVICE, PREDICTION_SERVICE, V2_SERVICE, Call
from inference.grpc_server.predictions import Predictions
from inference.grpc_server.questions import Questions
from inference.serving import ServingRuntime, runtime

Answer = Callable[[Call], None]


class CallMethods:
    """The methods there are; any other is UNIMPLEMENTED."""

    def __init__(self, serving: ServingRuntime) -> None:
        predictions, questions = Predictions(serving), Questions(serving)
        asked: Mapping[str, Callable[[bytes], bytes]] = {
            f"{V2_SERVICE}ServerLive": questions.server_live,
            f"{V2_SERVICE}ServerReady": questions.server_ready,
            f"{V2_SERVICE}ServerMetadata": questions.server_metadata,
            f"{V2_SERVICE}ModelReady": questions.model_ready,
            f"{V2_SERVICE}ModelMetadata": questions.model_metadata,
            f"{V2_SERVICE}ModelConfig": questions.model_config,
            f"{V2_SERVICE}ModelStatistics": questions.model_statistics,
            f"{V2_SERVICE}RepositoryIndex": questions.repository_index,
            f"{PREDICTION_SERVICE}GetModelMetadata": questions.tf_metadata,
            f"{MODEL_SERVICE}GetModelStatus": questions.tf_status,
            HEALTH_METHOD: questions.health,
        }
        self._predicts: Mapping[str, Answer] = {
            f"{V2_SERVICE}ModelInfer": predictions.infer,
            f"{PREDICTION_SERVICE}Predict": predictions.predict,
            f"{PREDICTION_SERVICE}Classify": predictions.classify,
            f"{PREDICTION_SERVICE}Regress": predictions.regress,
        }
        self._asked = asked

    def __call__(self, call: Call) -> None:
        predict = self._predicts.get(call.method)
        if predict is not None:
            predict(call)
            return
        question = self._asked.get(call.method)
        if question is None:
            known = ", ".join(name.rsplit("/", 1)[1] for name in (*self._predicts, *self._asked))
            raise MethodNotAllowedError(f"{call.method:.200} is not served; served are: {known}")
        call.answer(question(call.body))


def build_call_application() -> CallMethods:
    """Return the application for what this process serves."""
    return CallMethods(runtime())
