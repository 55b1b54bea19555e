"""KServe's Python server: a custom model, two uvicorn workers, gRPC beside them."""

from __future__ import annotations

from typing import Any

import engine
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Cnn(Model):
    """The model."""

    def __init__(self) -> None:
        super().__init__(engine.NAME)
        self.load()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the engine out: the server hands its models to its workers pickled."""
        return {name: value for name, value in self.__dict__.items() if name != "predict_rows"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the engine in the worker."""
        self.__dict__.update(state)
        self.load()

    def load(self) -> bool:
        """Load the engine."""
        self.predict_rows = engine.load()
        self.ready = True
        return True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Answer V1 (a dict) or V2 (an InferRequest)."""
        if not isinstance(payload, InferRequest):
            rows = np.asarray(payload["instances"], np.float32)
            return {"predictions": self.predict_rows(rows).tolist()}
        answer = self.predict_rows(payload.inputs[0].as_numpy())
        output = InferOutput(name=engine.OUTPUT, shape=list(answer.shape), datatype="FP32")
        output.set_data_from_numpy(answer, binary_data=payload.from_grpc or payload.use_binary_outputs)
        return InferResponse(payload.id or "0", self.name, [output])


if __name__ == "__main__":
    server = ModelServer(
        http_port=engine.HTTP_PORT,
        grpc_port=engine.GRPC_PORT,
        workers=engine.WORKERS,
        enable_latency_logging=False,
        access_log_format=None,
    )
    server.start([Cnn()])
