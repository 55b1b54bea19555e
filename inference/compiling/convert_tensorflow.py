"""SavedModel to ONNX and LiteRT. Runs in the compiling process only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.tensors import DType
from inference.compiling.steps import SkippedError
from inference.engines import lite_rt, onnx_runtime

OPSET = 18


def to_onnx(model: Path, manifest: Manifest, out: Path) -> None:
    """Convert the signature's concrete function with tf2onnx; tensors get the signature's names.

    Raises: whatever tf2onnx raises for an operation that it does not know.
    """
    import tensorflow as tf
    from tf2onnx import optimizer, tfonnx
    from tf2onnx.tf_loader import from_function

    _, function = _load(model, manifest)
    arguments = {spec.name: key for key, spec in function.structured_input_signature[1].items()}
    given = [tensor for tensor in function.inputs if tensor.dtype != tf.resource]
    inputs = {arguments[tensor.op.name]: tensor.name for tensor in given if tensor.op.name in arguments}
    keys = sorted(function.structured_outputs)  # TensorFlow lays a mapping out in this order
    outputs = dict(zip(keys, [tensor.name for tensor in function.outputs], strict=True))
    frozen = from_function(function, list(inputs.values()), list(outputs.values()))
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            graph, input_names=list(inputs.values()), output_names=list(outputs.values()), opset=OPSET
        )
        proto = optimizer.optimize_graph(converted).make_model(manifest.name)
    names = {tensor: name for name, tensor in (inputs | outputs).items()}
    rename_tensors(proto.graph, names)
    (out / onnx_runtime.MODEL_FILE).write_bytes(proto.SerializeToString())


def to_litert(model: Path, manifest: Manifest, out: Path) -> None:
    """Convert the signature's concrete function for LiteRT, in float32.

    Raises: SkippedError for BYTES tensors; whatever the converter raises otherwise.
    """
    import tensorflow as tf

    signature = manifest.computed
    if any(spec.dtype is DType.BYTES for spec in (*signature.inputs, *signature.outputs)):
        raise SkippedError("LiteRT's own operations know no BYTES tensors")
    loaded, function = _load(model, manifest)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)
    (out / lite_rt.MODEL_FILE).write_bytes(converter.convert())


def rename_tensors(graph: Any, names: Mapping[str, str]) -> None:
    """Give tensors of an ONNX graph other names, wherever they occur at its top level."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)} - set(names)
    moved = {new: f"{new}__inner" for new in names.values() if new in taken}
    names = {**moved, **names}
    for tensor in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _load(model: Path, manifest: Manifest) -> tuple[Any, Any]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model))
    function = loaded.signatures.get(manifest.computed.name)
    if function is None:
        raise ArtifactError(f"{manifest.name} has no signature '{manifest.computed.name}'")
    return loaded, function
