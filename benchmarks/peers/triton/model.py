"""The model in Triton's Python backend: all requests of a batch in one call of the engine."""

from __future__ import annotations

from typing import Any

import engine
import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    """The model; Triton makes one in each instance's process."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Load the engine."""
        self.predict_rows = engine.load()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer what the dynamic batcher collected."""
        inputs = [triton.get_input_tensor_by_name(request, engine.INPUT).as_numpy() for request in requests]
        answers = self.predict_rows(np.concatenate(inputs) if len(inputs) > 1 else inputs[0])
        parts = np.split(answers, np.cumsum([len(rows) for rows in inputs])[:-1])
        return [triton.InferenceResponse([triton.Tensor(engine.OUTPUT, part)]) for part in parts]
