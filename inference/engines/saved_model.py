"""TensorFlow: calls the SavedModel's own concrete function; Keras is not imported.

Source: tensorflow.org/guide/saved_model, "Running a SavedModel in Python".
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import structlog

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.late import load_tensorflow
from inference.engines.arrays import check_same_names
from inference.engines.base import Arrays, EngineKind, EngineOptions

tf = load_tensorflow()
log = structlog.get_logger(__name__)
_loading = threading.Lock()  # TensorFlow's loader is not meant for two threads at once


def open_engine(model: Path, manifest: Manifest, options: EngineOptions) -> TensorFlowEngine:
    """Load a SavedModel from its folder.

    Raises: ArtifactError if it is no SavedModel or lacks the signature of the manifest.
    """
    with _loading:
        _set_threads(options.thread_count)
        try:
            loaded = tf.saved_model.load(str(model))
        except Exception as error:  # TensorFlow raises many kinds for a broken file
            raise ArtifactError(f"{manifest.name} version {manifest.version} cannot be loaded: {error}") from error
    function = loaded.signatures.get(manifest.computed.name)
    if function is None:
        known = ", ".join(sorted(loaded.signatures)) or "none"
        raise ArtifactError(f"{manifest.name} has no signature '{manifest.computed.name}'; it has: {known}")
    return TensorFlowEngine(loaded, function, manifest)


class TensorFlowEngine:
    """One SavedModel in memory."""

    name = EngineKind.TENSORFLOW
    releases_gil = True
    concurrency = 4

    def __init__(self, model: Any, function: Any, manifest: Manifest) -> None:
        signature = manifest.computed
        check_same_names(manifest, "inputs", (s.name for s in signature.inputs), function.structured_input_signature[1])
        check_same_names(manifest, "outputs", (s.name for s in signature.outputs), function.structured_outputs)
        self._model: Any = model  # the variables live as long as this does
        self._function: Any = function
        self._outputs = [spec.name for spec in signature.outputs]

    @property
    def function(self) -> Any:
        """Return the concrete function."""
        return self._function

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order."""
        tensors = self._function(**{name: tf.convert_to_tensor(array) for name, array in inputs.items()})
        return {name: tensors[name].numpy() for name in self._outputs}

    def close(self) -> None:
        """Let go of the variables."""
        self._model = self._function = None


def _set_threads(threads: int) -> None:
    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # its pools are made once, when TensorFlow first computes
        log.info("tensorflow_threads_already_set", wanted=threads)
