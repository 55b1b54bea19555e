"""ONNX Runtime on the CPU, without any learning framework.

A plain `run` was measured against OrtValues and IOBinding (classic CNN, batch 1): 32, 59 and 34
us a call; so it is a plain `run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.tensors import DType
from aiplatform.text_bytes import encode_text_inputs
from inference.engines.arrays import as_texts, check_same_names, named_outputs
from inference.engines.base import Arrays, EngineKind, EngineOptions

MODEL_FILE = "model.onnx"
_ERRORS_ONLY = 3


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> OnnxEngine:
    """Load `model.onnx`.

    Raises: ArtifactError if it is not there, is no model or has other tensors than the manifest says.
    """
    try:
        session = ort.InferenceSession(
            str(model / MODEL_FILE), session_options(options), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises classes of its own for each kind of broken file
        raise ArtifactError(f"{manifest.name} version {manifest.version} cannot be loaded: {error}") from error
    return OnnxEngine(session, manifest)


def session_options(options: EngineOptions) -> Any:
    """Return settings that leave the other workers' cores alone."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.thread_count
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = _ERRORS_ONLY
    if options.workers > 1 or options.thread_count == 1:
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings


class OnnxEngine:
    """One session in memory; a session may be run by several threads."""

    name = EngineKind.ONNXRUNTIME
    releases_gil = True
    concurrency = 4

    def __init__(self, session: Any, manifest: Manifest) -> None:
        signature = manifest.computed
        check_same_names(manifest, "inputs", (s.name for s in signature.inputs), (i.name for i in session.get_inputs()))
        outputs = [o.name for o in session.get_outputs()]
        check_same_names(manifest, "outputs", (s.name for s in signature.outputs), outputs)
        self._session: Any = session
        self._manifest = manifest
        self._outputs = [spec.name for spec in signature.outputs]
        self._text_bytes = manifest.text_bytes
        self._texts = [s.name for s in signature.inputs if s.dtype is DType.BYTES and s.name not in self._text_bytes]

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order."""
        inputs = encode_text_inputs(inputs, self._text_bytes)
        if self._texts:
            inputs = {**inputs, **{name: as_texts(name, inputs[name]) for name in self._texts}}
        values = self._session.run(self._outputs, inputs)
        return named_outputs(self._manifest.name, self._outputs, [np.asarray(value) for value in values])

    def close(self) -> None:
        """Let go of the session and its arena."""
        self._session = None
