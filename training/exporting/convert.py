"""Conversions between model formats, by their own converters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiplatform.artifacts import Arrays, Manifest
from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.tensors import FREE, DType
from training.exporting.messages import ExportForm, ExportOrder, Quantization
from training.exporting.texts import bytes_specs, known_texts, take_texts
from training.runtimes.base import GivenSignature, ModelForm, RuntimeOptions, reading
from training.runtimes.files import locate_model

ONNX_OPSET = 17
FILES = {ExportForm.ONNX: "model.onnx", ExportForm.LITERT: "model.tflite"}
# (model_format of the version, wanted form)
_COPIED = {("onnx", ExportForm.ONNX), ("litert", ExportForm.LITERT)}


def convert(order: ExportOrder, calibration: Arrays, folder: Path) -> Path:
    """Write the model in the wanted form into `folder` and return the file.

    Raises: InvalidConfigurationError if there is no way from the version's format to it;
    InvalidInputError with the converter's reason if it cannot be converted.
    """
    manifest = order.manifest
    source = Path(order.artifact) / "model"
    target = folder / FILES[order.form]
    if (manifest.model_format, order.form) in _COPIED and order.quantize is Quantization.NONE:
        shutil.copytree(source, folder, dirs_exist_ok=True)  # an ONNX file with the weights beside it
        return target
    way = _WAYS.get((manifest.model_format, order.form))
    if way is None:
        raise InvalidConfigurationError(
            f"{manifest.name} version {manifest.version} is {manifest.framework}/{manifest.model_format}; "
            f"{_advice(order)}"
        )
    with reading(f"{manifest.name} version {manifest.version} cannot be converted to {order.form}"):
        way(order, source, calibration, target)
    return target


def _advice(order: ExportOrder) -> str:
    if order.form is ExportForm.LITERT and order.manifest.model_format == "litert":
        return "it is a LiteRT file already, and can be quantised only when it is made from a SavedModel"
    ways = sorted({form.value for kind, form in {*_WAYS, *_COPIED} if kind == order.manifest.model_format})
    return f"it can be exported as {', '.join(['artifact', *ways])}, not as {order.form}"


def _saved_model_to_litert(order: ExportOrder, source: Path, calibration: Arrays, target: Path) -> None:
    import tensorflow as tf

    manifest = order.manifest
    for spec in (*manifest.signature.inputs, *manifest.signature.outputs):
        if spec.dtype is DType.BYTES:
            raise InvalidInputError(f"tensor '{spec.name}' is of texts, which LiteRT's own operations do not take")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source), signature_keys=[manifest.signature.name])
    if order.quantize is not Quantization.NONE:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if order.quantize is Quantization.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if order.quantize is Quantization.INT8:
        converter.representative_dataset = _representative(manifest, calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if order.integer_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8
    target.write_bytes(converter.convert())


def _representative(manifest: Manifest, calibration: Arrays) -> Callable[[], Iterator[Arrays]]:
    first = manifest.signature.inputs[0].shape[0]
    size = 1 if first == FREE else first
    rows = len(next(iter(calibration.values()), ()))
    if rows < size:
        raise InvalidInputError("int8 needs representative rows; name data with --data or --samples")

    def batches() -> Iterator[Arrays]:
        for start in range(0, rows - size + 1, size):
            yield {name: array[start : start + size] for name, array in calibration.items()}

    return batches


def _saved_model_to_onnx(order: ExportOrder, source: Path, calibration: Arrays, target: Path) -> None:
    command = [
        sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(source), "--output", str(target),
        "--signature_def", order.manifest.signature.name, "--opset", str(ONNX_OPSET),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not target.exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise InvalidInputError(f"tf2onnx says: {lines[-1][:300] if lines else 'nothing'}")


def _program_to_onnx(order: ExportOrder, source: Path, calibration: Arrays, target: Path) -> None:
    import torch

    from training.runtimes.torch_program import TorchProgramRuntime
    from training.runtimes.torch_program import open_model as open_program

    runtime: TorchProgramRuntime = open_program(locate_model(source, ModelForm.TORCH_EXPORT), _as_bytes(order))
    computed, wanted = order.manifest.computed, {spec.name for spec in order.manifest.signature.outputs}
    names: dict[str, Any] = {
        "input_names": [spec.name for spec in computed.inputs],
        "output_names": [spec.name for spec in computed.outputs],
    }
    exported: Any = torch.onnx.export(runtime.program, dynamo=True, **names)
    _keep_outputs(exported.model, wanted)
    exported.save(str(target))
    widths = order.manifest.text_bytes
    if widths:
        import onnx

        model = onnx.load(str(target))
        take_texts(model, known_texts(runtime.program, computed.inputs, widths))
        onnx.save(model, str(target))


def _as_bytes(order: ExportOrder) -> RuntimeOptions:
    inputs = bytes_specs(order.manifest.signature.inputs, order.manifest.text_bytes)
    return RuntimeOptions(given=GivenSignature(inputs=inputs if order.manifest.text_bytes else ()))


def _keep_outputs(model: Any, wanted: set[str]) -> None:
    """Take out of an ONNX model what is computed for monitoring alone: whoever runs the file has no use for it."""
    outputs = model.graph.outputs
    if all(output.name in wanted for output in outputs):
        return
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    outputs[:] = [output for output in outputs if output.name in wanted]
    RemoveUnusedNodesPass()(model)


_WAYS: dict[tuple[str, ExportForm], Callable[[ExportOrder, Path, Arrays, Path], None]] = {
    ("saved_model", ExportForm.LITERT): _saved_model_to_litert,
    ("saved_model", ExportForm.ONNX): _saved_model_to_onnx,
    ("torch_export", ExportForm.ONNX): _program_to_onnx,
}
