"""ONNX files, run by ONNX Runtime; weights in files beside the model come along."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import TensorSpec
from training.runtimes.base import ModelForm, RuntimeOptions, reading
from training.runtimes.files import FILES
from training.runtimes.saved_model import DEFAULT_SIGNATURE
from training.runtimes.signatures import join_by_name, tensor_spec

FILE = FILES[ModelForm.ONNX]
_NUMPY = {"float": "float32", "double": "float64", "string": "object"}
_ERRORS_ONLY = 3


def open_model(path: Path, options: RuntimeOptions) -> OnnxRuntime:
    """Load an ONNX file onto the processor."""
    import onnxruntime

    with reading(f"'{path.name}' cannot be read as an ONNX model"):
        external = external_files(path, path.parent)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _ERRORS_ONLY
        if options.threads > 0:
            settings.intra_op_num_threads = settings.inter_op_num_threads = options.threads
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    return OnnxRuntime(path, session, external, options)


class OnnxRuntime:
    """One session."""

    signature_name = DEFAULT_SIGNATURE

    def __init__(self, path: Path, session: Any, external: list[str], options: RuntimeOptions) -> None:
        self._path, self._session, self._external = path, session, external
        self.inputs = join_by_name("inputs", _specs(session.get_inputs()), options.given.inputs)
        tensors = [value for value in session.get_outputs() if value.type.startswith("tensor(")]
        if not tensors:
            raise InvalidInputError(f"'{path.name}' returns no tensors (sequences and maps cannot be served)")
        self.outputs = join_by_name("outputs", _specs(tensors), options.given.outputs, may_choose=True)

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def save(self, folder: Path) -> None:
        """Copy the file and those that it refers to."""
        shutil.copyfile(self._path, folder / FILE)
        _copy(self._path.parent, folder, self._external)


def gather_external(path: Path, origin: Path) -> None:
    """Copy the weights that lie beside the original of a model to the same places beside its copy.

    Raises: InvalidInputError if one lies outside of the original's folder or is missing.
    """
    with reading(f"'{path.name}' cannot be read as an ONNX model"):
        _copy(origin, path.parent, external_files(path, origin))


def external_files(path: Path, folder: Path) -> list[str]:
    """Return the files in `folder` that a model's weights lie in, relative to it.

    Raises: InvalidInputError if one would lie outside of the folder or is missing.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    names = {_location(tensor) for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL}
    for name in sorted(names):
        place = PurePosixPath(name)
        if not place.parts or place.is_absolute() or ".." in place.parts or "\\" in name or name in (FILE, path.name):
            raise InvalidInputError(
                f"'{path.name}' refers to weights at '{name}', outside of its folder; it is not loaded"
            )
        if not (folder / name).is_file():
            raise InvalidInputError(f"'{path.name}' has its weights in '{name}', which does not lie beside it")
    return sorted(names)


def _copy(source: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name)


def _location(tensor: Any) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every tensor of a model, those of subgraphs, functions and attributes too."""
    nodes = [node for function in model.functions for node in function.node]
    graphs = [model.graph]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            graphs.extend((attribute.g, *attribute.graphs))


def _specs(values: list[Any]) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        kind = value.type.removeprefix("tensor(").removesuffix(")")
        if kind == value.type:
            raise InvalidInputError(f"'{value.name}' is of type {value.type}; only tensors can be served")
        specs.append(tensor_spec(value.name, _NUMPY.get(kind, kind), value.shape))
    return tuple(specs)
