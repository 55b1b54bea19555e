"""What kind of model a path is, and a private copy of it that nobody changes while it is examined."""

from __future__ import annotations

import shutil
from pathlib import Path

from aiplatform.errors import InvalidInputError
from training.data.fetch import fingerprint_path
from training.runtimes.base import ModelForm
from training.runtimes.saved_model import copy_saved_model

_BY_SUFFIX = {
    ".keras": ModelForm.KERAS, ".h5": ModelForm.KERAS, ".hdf5": ModelForm.KERAS,
    ".onnx": ModelForm.ONNX,
    ".pt2": ModelForm.TORCH_EXPORT,
    ".pt": ModelForm.TORCHSCRIPT, ".pth": ModelForm.TORCHSCRIPT, ".ts": ModelForm.TORCHSCRIPT,
    ".tflite": ModelForm.LITERT,
}  # fmt: skip
_PICKLES = (".pkl", ".pickle", ".joblib", ".bin", ".ckpt")
_SAVED_MODEL_FILE = "saved_model.pb"


def find_form(path: Path, wanted: ModelForm | None) -> ModelForm:
    """Return the format of a file or folder: the wanted one, else by its name.

    Raises: InvalidInputError if it is of no known kind.
    """
    if path.is_dir():
        found = _folder_form(path)
        if wanted not in (None, found):
            raise InvalidInputError(f"'{path.name}' is a folder of format {found}, not {wanted}")
        return found
    if path.name == _SAVED_MODEL_FILE:
        raise InvalidInputError(
            f"give the folder that holds {_SAVED_MODEL_FILE}, not the file: its weights lie beside it"
        )
    if wanted is ModelForm.SAVED_MODEL:
        raise InvalidInputError(f"'{path.name}' is a file; a SavedModel is a folder with {_SAVED_MODEL_FILE} in it")
    form = wanted or _BY_SUFFIX.get(path.suffix.lower())
    if form is None:
        rule = "pickles run code when they are loaded and are never read; " if path.suffix.lower() in _PICKLES else ""
        raise InvalidInputError(
            f"'{path.name}' is of no known kind: {rule}name one of {', '.join(_BY_SUFFIX)} or a folder"
        )
    return form


def _folder_form(path: Path) -> ModelForm:
    if (path / _SAVED_MODEL_FILE).is_file():
        return ModelForm.SAVED_MODEL
    if len(list(path.glob("*.onnx"))) == 1:
        return ModelForm.ONNX
    raise InvalidInputError(f"'{path}' is a folder with neither {_SAVED_MODEL_FILE} nor exactly one .onnx file in it")


def copy_source(path: Path, form: ModelForm, folder: Path) -> Path:
    """Copy a model into an empty folder and return the copy.

    A SavedModel is copied without what else lies in its folder; an ONNX file without the weights
    beside it, since the child alone reads which those are.
    Raises: InvalidInputError if it cannot be read.
    """
    try:
        if form is ModelForm.SAVED_MODEL:
            copy_saved_model(path, folder)
            return folder
        file = next(iter(path.glob("*.onnx"))) if path.is_dir() else path
        if not file.is_file():
            raise InvalidInputError(f"'{path}' is no regular file")
        shutil.copyfile(file, folder / file.name)
        return folder / file.name
    except OSError as error:
        raise InvalidInputError(f"'{path}' cannot be read: {error}") from error


def origin_of(path: Path) -> Path:
    """Return the folder in which a model's further files may lie."""
    return path if path.is_dir() else path.absolute().parent


def fingerprint_source(folder: Path) -> str:
    """Return the sha256 of what was copied: of the file if it is one, else of all names and bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return fingerprint_path(files[0] if len(files) == 1 else folder)
