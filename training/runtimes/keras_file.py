"""Keras files (.keras and .h5), read in safe mode and kept as a SavedModel with their preprocessing.

What would run code of the file is refused before Keras sees it: Lambda layers, layers that load
other files, classes of other packages.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiplatform.archives import open_archive
from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, TensorSpec
from training.runtimes.base import RuntimeOptions, reading
from training.runtimes.saved_model import DEFAULT_SIGNATURE, set_threads
from training.runtimes.signatures import join_by_name, tensor_spec, unique_names

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_CONFIG = "config.json"
_REFUSED_CLASSES = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_GENERATED = ("keras_tensor", "input_layer", "input_")  # names that nobody chose
_USE_EXPORT = "save it as a SavedModel with Keras' model.export('folder') and import that folder"


def open_model(path: Path, options: RuntimeOptions) -> KerasRuntime:
    """Load a Keras file; nothing of it is executed."""
    set_threads(options.threads)
    with reading(f"'{path.name}' cannot be read as a Keras file"):
        _refuse_code(path, _read_config(path))
        import keras

        model = keras.saving.load_model(_with_suffix(path), compile=False, safe_mode=True)
    if not getattr(model, "inputs", None):
        raise InvalidInputError(f"'{path.name}' was saved before its inputs were known; {_USE_EXPORT}")
    return KerasRuntime(model, options)


class KerasRuntime:
    """A Keras model, called for inference."""

    signature_name = DEFAULT_SIGNATURE

    def __init__(self, model: Any, options: RuntimeOptions) -> None:
        self._model = model
        names = unique_names([_chosen_name(tensor.name) for tensor in model.inputs], fallback="input")
        pairs = zip(names, model.inputs, strict=True)
        found = tuple(_keras_spec(name, tensor) for name, tensor in pairs)
        self.inputs = join_by_name("inputs", found, options.given.inputs)
        self._order = [spec.name for spec in found]
        flat = list(model.outputs)
        said = list(getattr(model, "output_names", None) or [])
        self._names = unique_names(
            said if len(flat) > 1 and len(said) == len(flat) else [""] * len(flat), fallback="output"
        )
        outputs = tuple(_keras_spec(name, tensor) for name, tensor in zip(self._names, flat, strict=True))
        self.outputs = join_by_name("outputs", outputs, options.given.outputs, may_choose=True)

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        import tensorflow as tf

        values = self._call({name: tf.convert_to_tensor(array) for name, array in inputs.items()})
        return {spec.name: values[spec.name].numpy() for spec in self.outputs}

    def save(self, folder: Path) -> None:
        """Write a SavedModel that takes the inputs by name."""
        import keras
        import tensorflow as tf

        specs = {
            spec.name: tf.TensorSpec(
                [None if size == -1 else size for size in spec.shape],
                tf.string if spec.dtype is DType.BYTES else tf.as_dtype(spec.dtype.numpy),
                name=spec.name,
            )
            for spec in self.inputs
        }
        wanted = [spec.name for spec in self.outputs]
        archive = keras.export.ExportArchive()
        archive.track(self._model)
        archive.add_endpoint(
            DEFAULT_SIGNATURE, lambda inputs: _chosen(self._call(inputs), wanted), input_signature=[specs]
        )
        archive.write_out(str(folder), verbose=False)

    def _call(self, tensors: dict[str, Any]) -> dict[str, Any]:
        import keras

        flat = [tensors[name] for name in self._order]
        structure = getattr(self._model, "_inputs_struct", None)
        packed = flat[0] if structure is None else keras.tree.pack_sequence_as(structure, flat)
        values = keras.tree.flatten(self._model(packed, training=False))
        return dict(zip(self._names, values, strict=True))


def _chosen(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: values[name] for name in names}


def _keras_spec(name: str, tensor: Any) -> TensorSpec:
    dtype = "object" if str(tensor.dtype) == "string" else str(tensor.dtype)
    with reading(f"tensor '{name}' cannot be served"):
        return tensor_spec(name, dtype, None if tensor.shape is None else list(tensor.shape))


def _chosen_name(name: str) -> str:
    return "" if name.startswith(_GENERATED) else name


def _with_suffix(path: Path) -> Path:
    """Return the file under a name that Keras takes: it goes by the suffix alone."""
    suffix = ".h5" if _is_hdf5(path) else ".keras"
    if path.suffix == suffix:
        return path
    target = path.with_suffix(suffix)
    path.rename(target)
    return target


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_HDF5_MAGIC)) == _HDF5_MAGIC


def _read_config(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with open_archive(path) as archive:
            if _CONFIG not in archive.namelist():
                raise InvalidInputError(f"'{path.name}' is an archive without {_CONFIG} and no .keras file")
            return json.loads(archive.read(_CONFIG))
    if not _is_hdf5(path):
        raise InvalidInputError(f"'{path.name}' is neither a .keras archive nor an HDF5 file")
    import h5py

    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
    if config is None:
        raise InvalidInputError(f"'{path.name}' holds weights and no model; {_USE_EXPORT}")
    return json.loads(config)


def _refuse_code(path: Path, config: Any) -> None:
    for entry in _entries(config):
        name, module = str(entry.get("class_name")), entry.get("module")
        if name in _REFUSED_CLASSES:
            raise InvalidInputError(
                f"'{path.name}' has a {name.strip('_')} layer, which runs code of the file, and is not "
                f"loaded; {_USE_EXPORT}"
            )
        if module not in (None, "builtins") and str(module).split(".")[0] != "keras":
            raise InvalidInputError(
                f"'{path.name}' needs the class '{module}.{name}', which is not part of Keras; {_USE_EXPORT}"
            )


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the configuration that names a class; without recursion, however deep it is."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
