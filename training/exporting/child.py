"""The process that exports: `python -m training.exporting.child FOLDER MEMORY`, with `order.json` in the folder."""

from __future__ import annotations

import sys
from pathlib import Path

from aiplatform.artifacts import Manifest
from aiplatform.errors import InvalidConfigurationError
from training.children import answer
from training.exporting.convert import convert
from training.exporting.messages import ExportForm, ExportOrder, ParityReport
from training.exporting.parity import FloatIo, compare
from training.exporting.rows import choose_rows
from training.exporting.texts import TextsAsBytes, bytes_specs
from training.importing.messages import KINDS
from training.runtimes import ModelForm, Runtime, RuntimeOptions, open_runtime
from training.runtimes.base import GivenSignature, reading
from training.runtimes.files import locate_model
from training.runtimes.litert_file import LiteRtRuntime

OUTPUT = "out"  # below the folder: the exported file, and for ONNX what belongs to it


def export(order: ExportOrder, folder: Path) -> ParityReport:
    """Convert, then compare with the version's own model in this same process.

    The version's model is opened first: its framework's threads are set before it first computes.
    """
    signature, widths = order.manifest.signature, order.manifest.text_bytes
    form = find_form(order.manifest)
    own = order.manifest.computed if form is ModelForm.TORCH_EXPORT else signature  # a program has one signature only
    given = GivenSignature(inputs=bytes_specs(signature.inputs, widths), outputs=own.outputs)
    name = signature.name if form is ModelForm.SAVED_MODEL else ""
    model = locate_model(Path(order.artifact) / "model", form)
    before = open_runtime(form, model, RuntimeOptions(given=given, signature_name=name, threads=1))
    if widths:
        before = TextsAsBytes(before, signature.inputs, widths)
    rows = choose_rows(order, folder / "data")
    out = folder / OUTPUT
    out.mkdir()
    file = convert(order, rows.calibration, out)
    with reading("the exported model does not answer as the version does"):
        return compare(order, before, _open_exported(order, file), rows, file=file)


def find_form(manifest: Manifest) -> ModelForm:
    """Return the form of a version's own model.

    Raises: InvalidConfigurationError if it is no file that could be converted.
    """
    kind = (manifest.framework, manifest.model_format)
    form = next((form for form, known in KINDS.items() if known == kind), ModelForm.REMOTE)
    if form is ModelForm.REMOTE:
        raise InvalidConfigurationError(f"a model of {manifest.framework}/{manifest.model_format} cannot be converted")
    return form


def _open_exported(order: ExportOrder, file: Path) -> Runtime:
    signature = order.manifest.signature
    if order.form is ExportForm.ONNX:
        given = GivenSignature(outputs=signature.outputs)
        return open_runtime(ModelForm.ONNX, file, RuntimeOptions(given=given, threads=1))
    runtime = open_runtime(ModelForm.LITERT, file, RuntimeOptions(threads=1))
    if order.integer_io and isinstance(runtime, LiteRtRuntime):
        return FloatIo(runtime, signature.inputs)
    return runtime


if __name__ == "__main__":
    answer(sys.argv[1:], ExportOrder, export)
