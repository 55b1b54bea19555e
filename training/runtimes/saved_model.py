"""SavedModel folders, read by TensorFlow; operations that reach outside the model are refused unread."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError
from aiplatform.late import load_tensorflow
from aiplatform.tensors import TensorSpec
from training.runtimes.base import RuntimeOptions, reading
from training.runtimes.signatures import join_by_name, tensor_spec

MODEL_FILE = "saved_model.pb"
DEFAULT_SIGNATURE = "serving_default"
_KEPT = (MODEL_FILE, "fingerprint.pb", "variables", "assets", "assets.extra")
# A SavedModel is a program: these read or write files of the machine, or call code that is not in it.
_REFUSED_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles"}


def open_model(path: Path, options: RuntimeOptions) -> SavedModelRuntime:
    """Load a SavedModel folder and choose its signature."""
    tf = load_tensorflow()

    if not (path / MODEL_FILE).is_file():
        raise InvalidInputError(f"'{path.name}' holds no {MODEL_FILE} and is no SavedModel folder")
    set_threads(options.threads)
    with reading(f"'{path.name}' cannot be read as a SavedModel"):
        _refuse_outside_reach(path)
        model = tf.saved_model.load(str(path))
    name = _choose_signature(path, list(model.signatures), options.signature_name)
    return SavedModelRuntime(path, model, name, options)


class SavedModelRuntime:
    """One signature of a SavedModel."""

    def __init__(self, path: Path, model: Any, name: str, options: RuntimeOptions) -> None:
        self._path, self._model = path, model  # the variables live as long as this does
        self._function = model.signatures[name]
        self.signature_name = name
        taken = self._function.structured_input_signature[1]
        self.inputs = join_by_name("inputs", _specs(taken, options.given.inputs), options.given.inputs)
        found = _specs(self._function.structured_outputs, options.given.outputs)
        self.outputs = join_by_name("outputs", found, options.given.outputs, may_choose=True)

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        import tensorflow as tf

        tensors = self._function(**{name: tf.convert_to_tensor(array) for name, array in inputs.items()})
        return {spec.name: tensors[spec.name].numpy() for spec in self.outputs}

    def save(self, folder: Path) -> None:
        """Copy the parts of the folder that are the model."""
        copy_saved_model(self._path, folder)


def copy_saved_model(source: Path, folder: Path) -> None:
    """Copy a SavedModel, and nothing else that lies in its folder."""
    for name in _KEPT:
        part = source / name
        if part.is_dir():
            shutil.copytree(part, folder / name, dirs_exist_ok=True)
        elif part.is_file():
            shutil.copyfile(part, folder / name)


def set_threads(threads: int) -> None:
    """Have TensorFlow compute with so many threads; before it first computes."""
    import tensorflow as tf

    if threads > 0:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _choose_signature(path: Path, names: list[str], wanted: str) -> str:
    known = ", ".join(sorted(names)) or "none"
    if wanted:
        if wanted not in names:
            raise InvalidInputError(f"'{path.name}' has no signature '{wanted}'; it has: {known}")
        return wanted
    if DEFAULT_SIGNATURE in names:
        return DEFAULT_SIGNATURE
    if len(names) == 1:
        return names[0]
    rule = "choose one with --signature-name" if names else "save it with signatures, or with Keras' model.export()"
    raise InvalidInputError(f"'{path.name}' has no signature '{DEFAULT_SIGNATURE}'; it has: {known}; {rule}")


def _specs(found: dict[str, Any], given: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    told = {spec.name: spec for spec in given}
    return tuple(_spec(name, found[name], told.get(name)) for name in sorted(found))


def _spec(name: str, found: Any, told: TensorSpec | None) -> TensorSpec:
    if found.shape.rank is None and told is not None:
        return told
    with reading(f"tensor '{name}' cannot be served"):
        shape = None if found.shape.rank is None else found.shape.as_list()
        return tensor_spec(name, found.dtype.as_numpy_dtype, shape)


def _refuse_outside_reach(path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / MODEL_FILE).read_bytes())
    found = sorted({op for meta in saved.meta_graphs for op in _operations(meta.graph_def) if op in _REFUSED_OPS})
    if found:
        raise InvalidInputError(
            f"'{path.name}' has operations that reach outside the model ({', '.join(found)}) and is not loaded; "
            "save it without them"
        )


def _operations(graph: Any) -> Iterator[str]:
    yield from (node.op for node in graph.node)
    for function in graph.library.function:
        yield from (node.op for node in function.node_def)
