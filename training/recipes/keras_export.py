"""From a Keras model on any engine to a SavedModel: Keras' own file between two processes.

The second one, `python -m training.recipes.keras_export FOLDER`, has Keras on TensorFlow. It asks the model what the
first one has asked it, and both answers must agree before anything is kept.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.artifacts import MONITORED, Arrays, read_arrays
from aiplatform.late import load_tensorflow
from aiplatform.tensors import DType, TensorSpec
from training.recipes.api import TrainingFailedError

if TYPE_CHECKING:
    import keras

PROBE_ROWS = 8
RELATIVE, ABSOLUTE = 1e-3, 1e-4  # by which answers of two engines may differ
PROJECT = Path(__file__).resolve().parents[2]
_FILE, _FORM, _ASKED, _ANSWERS, _OUT = "model.keras", "form.json", "asked.npz", "answers.npz", "saved_model"
_DIFFERS = 4


def write_saved_model(
    model: keras.Model,
    folder: Path,
    *,
    inputs: tuple[TensorSpec, ...],
    names: tuple[str, ...],
    asked: Arrays,
    answers: Arrays,
    module: str,
) -> None:
    """Write a SavedModel of a model that gives its outputs by name into `folder`.

    `serving_default` gives those of `names`, `monitored` all, if there are more. `asked` and `answers`: some rows, and
    what the model says of them. `module` is imported before the model is read, for it may have layers of its own.
    Raises: TrainingFailedError if the SavedModel says otherwise, or cannot be made.
    """
    form = {
        "inputs": [[spec.name, list(spec.shape), _type_name(spec)] for spec in inputs],
        "names": list(names),
        "all": list(model.output),
        "module": module,
    }
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="keras-") as name:
        place = Path(name)
        model.save(place / _FILE)
        (place / _FORM).write_text(json.dumps(form))
        _save(place / _ASKED, asked)
        _save(place / _ANSWERS, answers)
        done = subprocess.run(
            [sys.executable, "-m", "training.recipes.keras_export", str(place)],
            cwd=PROJECT, env={**os.environ, **_environment()}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            why = lines[-1][:400] if lines else f"its process ended with {done.returncode}"
            raise TrainingFailedError(f"the model could not be brought to TensorFlow, which serves it: {why}")
        shutil.copytree(place / _OUT, folder, dirs_exist_ok=True)


def _environment() -> dict[str, str]:
    """Return what the second process finds: the same modules, and no GPU, which the first one holds."""
    return {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *(str(Path(entry).absolute()) for entry in sys.path)]),
    }


def _type_name(spec: TensorSpec) -> str:
    return "string" if spec.dtype is DType.BYTES else str(np.dtype(spec.dtype.numpy))


def main(place: Path) -> int:
    """Do the second process's part; return the exit code."""
    tf = load_tensorflow()
    import keras

    form = json.loads((place / _FORM).read_text())
    importlib.import_module(form["module"])
    model = keras.saving.load_model(place / _FILE, compile=False, safe_mode=True)
    signature = {
        name: tf.TensorSpec([None if size == -1 else size for size in shape], dtype, name=name)
        for name, shape, dtype in form["inputs"]
    }

    def all_of(given: Any) -> Any:
        return model(given, training=False)

    def served(given: Any) -> Any:
        found = all_of(given)
        return {name: found[name] for name in form["names"]}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", served, input_signature=[signature])
    if set(form["all"]) != set(form["names"]):
        archive.add_endpoint(MONITORED, all_of, input_signature=[signature])
    archive.write_out(str(place / _OUT), verbose=False)
    asked = {name: tf.constant(array, signature[name].dtype) for name, array in read_arrays(place / _ASKED).items()}
    return _compare(all_of(asked), read_arrays(place / _ANSWERS))


def _compare(found: Any, wanted: Arrays) -> int:
    for name, answer in wanted.items():
        gap = np.abs(np.asarray(found[name]).astype(np.float64) - answer)
        if not (gap <= ABSOLUTE + RELATIVE * np.abs(answer)).all():
            print(f"'{name}' differs by {gap.max():.3g} from what was learned", file=sys.stderr)  # noqa: T201
            return _DIFFERS
    return 0


def _save(path: Path, arrays: Arrays) -> None:
    texts = {name: array.astype(str) for name, array in arrays.items() if array.dtype.kind == "O"}
    with path.open("wb") as file:
        np.savez(file, **{**arrays, **texts})  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
