"""Finds out what a user's model is, by running it: the artifact is written from what is found here."""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.calibration import encode_calibration
from aiplatform.errors import InvalidInputError
from aiplatform.features import extract_features, summarise_predictions
from aiplatform.profiles import DataProfile
from aiplatform.tensors import FREE, Signature, TensorSpec
from training.calibrating import as_probabilities, fit_calibration
from training.importing.checks import check_image, check_labels, choose_task, describe_doubts
from training.importing.messages import (
    CALIBRATION,
    MODEL_FOLDER,
    PROFILE,
    WARMUP_INPUTS,
    WARMUP_OUTPUTS,
    Examined,
    ImportOrder,
)
from training.importing.outputs import derive_outputs, first_rows, is_batchable, predict_all
from training.importing.samples import Samples, generate_samples, read_samples
from training.importing.scores import REGRESSION, encode_truth, score
from training.runtimes import ModelForm, Runtime, RuntimeOptions, open_runtime
from training.runtimes.base import GivenSignature, reading
from training.runtimes.files import locate_model
from training.runtimes.onnx_file import gather_external

WARMUP_ROWS = 8
PROFILED_ROWS = 20_000
# As the serving engines are held to: another order of sums differs by less, another model by more.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-3, 1e-4


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """The model's answers: to the warm-up rows, and to all samples that were given."""

    warm_inputs: Arrays
    warm_outputs: Arrays
    samples: Samples | None
    outputs: Arrays


def examine(order: ImportOrder, folder: Path) -> Examined:
    """Run a model and write what its artifact will hold into `folder`: model, warm-up, profile.

    Raises: InvalidInputError if it cannot be read, run, or served as it was described.
    """
    options = RuntimeOptions(given=order.given, signature_name=order.signature_name)
    if order.form is ModelForm.ONNX and order.origin:
        gather_external(Path(order.source), Path(order.origin))
    runtime = open_runtime(order.form, Path(order.source), options)
    for spec in runtime.inputs:
        if not spec.shape:
            raise InvalidInputError(f"input '{spec.name}' is a single number; the first dimension must be the batch")
    check_image(order.image, runtime.inputs)
    answers = _answer(runtime, order)
    outputs = derive_outputs(runtime, answers.warm_inputs, answers.warm_outputs)
    signature = Signature(inputs=runtime.inputs, outputs=outputs, name=runtime.signature_name or "serving_default")
    _keep(runtime, folder)
    del runtime
    gc.collect()  # a model is in memory once at a time
    _reproduce(order, signature, folder, answers)
    return _describe(order, signature, answers, folder)


def _answer(runtime: Runtime, order: ImportOrder) -> _Answers:
    if order.samples:
        given: Samples | None = read_samples(Path(order.samples), runtime.inputs, target=order.target)
    else:
        given = None
    source = given or generate_samples(runtime.inputs, image=order.image, seed=order.seed)
    warm = first_rows(runtime.inputs, source.inputs, WARMUP_ROWS)
    hint = "" if given else "; give real rows with --samples"
    with reading(f"the model fails on {'the' if given else 'made-up'} samples{hint}"):
        warm_outputs = runtime.run(warm)
        everything = predict_all(runtime, given.inputs, limit=PROFILED_ROWS) if given else {}
    for name, array in warm_outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InvalidInputError(f"output '{name}' is not finite on the samples; give plausible rows with --samples")
    return _Answers(warm_inputs=warm, warm_outputs=warm_outputs, samples=given, outputs=everything)


def _keep(runtime: Runtime, folder: Path) -> None:
    model = folder / MODEL_FOLDER
    model.mkdir()
    with reading("the model cannot be written"):
        runtime.save(model)


def _reproduce(order: ImportOrder, signature: Signature, folder: Path, answers: _Answers) -> None:
    """Open what is kept and have it answer again: it must be whole, and answer alike each time."""
    given = GivenSignature(inputs=signature.inputs, outputs=signature.outputs)
    form = ModelForm.SAVED_MODEL if order.form is ModelForm.KERAS else order.form
    kept = locate_model(folder / MODEL_FOLDER, form)
    name = signature.name if form in (ModelForm.SAVED_MODEL, ModelForm.REMOTE) else order.signature_name
    again = open_runtime(form, kept, RuntimeOptions(given=given, signature_name=name)).run(answers.warm_inputs)
    for spec in signature.outputs:
        _check_alike(spec, answers.warm_outputs[spec.name], again[spec.name])
    np.savez(folder / WARMUP_INPUTS, **_plain(answers.warm_inputs))  # type: ignore[arg-type]
    np.savez(folder / WARMUP_OUTPUTS, **_plain(answers.warm_outputs))  # type: ignore[arg-type]


def _check_alike(spec: TensorSpec, first: Any, again: Any) -> None:
    if first.dtype.kind == "f":
        alike = first.shape == again.shape and np.allclose(
            first, again, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE
        )
    else:
        alike = np.array_equal(first, again)
    if not alike:
        raise InvalidInputError(
            f"output '{spec.name}' differs between two calls with the same rows: the model draws random numbers "
            "(is it still in training mode?), so that nothing could show that it serves what it should"
        )


def _plain(arrays: Arrays) -> Arrays:
    return {name: _texts(array) if array.dtype.kind == "O" else array for name, array in arrays.items()}


def _texts(array: Any) -> Any:
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.ravel().tolist()]
    return np.array(texts, dtype=str).reshape(array.shape)


def _describe(order: ImportOrder, signature: Signature, answers: _Answers, folder: Path) -> Examined:
    samples, first = answers.samples, signature.outputs[0]
    task = choose_task(order.task, order.image, order.labels, first)
    labels = check_labels(order.labels, first, task=task)
    metrics: dict[str, float] = {}
    rows = 0
    if samples is not None:
        rows = len(next(iter(answers.outputs.values())))
        if samples.labels is not None:
            labels, truth = encode_truth(samples.labels[:rows], labels, first, task=task)
            metrics = score(answers.outputs[first.name], truth, labels, task=task)
            _keep_calibration(answers.outputs[first.name], truth, labels, folder, task=task)
        profile = _profile(samples, answers.outputs, labels, rows)
        (folder / PROFILE).write_text(json.dumps(profile.to_dict()))
    notes = describe_doubts(signature, answers.warm_outputs[first.name], task=task, labels=labels, image=order.image)
    return Examined(
        signature=signature,
        task=task,
        labels=labels,
        metrics=metrics,
        sample_rows=rows,
        notes=(*notes, *_batch_note(signature)),
    )


def _keep_calibration(outputs: Any, truth: Any, labels: tuple[str, ...], folder: Path, *, task: str) -> None:
    """Write how often the model's confidence is right on the samples, which it should not have learned from."""
    probabilities = None if task == REGRESSION else as_probabilities(outputs, len(labels))
    if probabilities is None:
        return
    places = {label: place for place, label in enumerate(labels)}
    calibration = fit_calibration(probabilities, np.array([places[label] for label in truth]))
    if calibration is not None:
        (folder / CALIBRATION).write_bytes(encode_calibration(calibration))


def _batch_note(signature: Signature) -> tuple[str, ...]:
    if is_batchable(signature.inputs):
        return ()
    sizes = {spec.name: spec.shape[0] for spec in signature.inputs if spec.shape[0] != FREE}
    return (f"the batch is fixed {sizes}: requests must have exactly so many rows and are not batched together",)


def _profile(samples: Samples, outputs: Arrays, labels: tuple[str, ...], rows: int) -> DataProfile:
    profile = DataProfile()
    for start in range(0, rows, 1000):
        part = slice(start, min(start + 1000, rows))
        profile.update(extract_features({name: array[part] for name, array in samples.inputs.items()}))
    said = summarise_predictions(outputs, labels)
    if said.labels is not None:
        columns = {"label": np.array(said.labels, dtype=object), "confidence": np.array(said.confidences)}
    else:
        columns = {"value": np.array(said.values)}
    profile.update({}, columns)
    return profile
