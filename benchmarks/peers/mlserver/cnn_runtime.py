"""The model as a custom runtime of MLServer; serve.py names it in the model's settings."""

from __future__ import annotations

import engine
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class CnnRuntime(MLModel):
    """The model."""

    async def load(self) -> bool:
        """Load the engine in its worker."""
        self.predict_rows = engine.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a batch."""
        answer = self.predict_rows(NumpyCodec.decode_input(payload.inputs[0]))
        output = NumpyCodec.encode_output(engine.OUTPUT, answer)
        return InferenceResponse(model_name=self.name, outputs=[output])
