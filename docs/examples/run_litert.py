"""Runs a LiteRT model on a device: nothing but `ai-edge-litert` and numpy is needed.

    pip install ai-edge-litert numpy
    python run_litert.py digits.tflite rows.npy --labels digits.labels.txt

`rows.npy` holds the rows of a model with one input; an `.npz` file holds one array for each input,
by its name. A model of integers (made with `--int8-io`) is asked and answers in real numbers all
the same: integer = real / scale + zero point.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

Array = np.ndarray[Any, Any]
Details = dict[str, Any]


def main() -> None:
    """Print each row's label (or numbers), and how long a row took."""
    arguments = _parse()
    interpreter = Interpreter(model_path=str(arguments.model), num_threads=arguments.threads)
    interpreter.allocate_tensors()
    inputs = name_tensors(interpreter, "inputs")
    outputs = name_tensors(interpreter, "outputs")
    rows = read_rows(arguments.rows, inputs)
    labels = arguments.labels.read_text("utf-8").splitlines() if arguments.labels else []
    taken_ms: list[float] = []
    for index in range(len(next(iter(rows.values())))):
        row = {name: array[index : index + 1] for name, array in rows.items()}
        started = time.perf_counter()
        answers = run(interpreter, inputs, outputs, row)
        taken_ms.append((time.perf_counter() - started) * 1000)
        print(f"{index}\t{describe(next(iter(answers.values()))[0], labels)}")
    print(f"{len(taken_ms)} rows, median {np.median(taken_ms):.3f} ms a row")


def name_tensors(interpreter: Interpreter, kind: str) -> dict[str, Details]:
    """Return the details of the inputs or outputs by the names in the model's signature."""
    details = interpreter.get_input_details() if kind == "inputs" else interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if not signatures:
        return {detail["name"]: detail for detail in details}
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    named = runner.get_input_details() if kind == "inputs" else runner.get_output_details()
    return dict(named)


def read_rows(path: Path, inputs: dict[str, Details]) -> dict[str, Array]:
    """Return an array for each input, with one row for each answer."""
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        if len(inputs) != 1:
            raise SystemExit(f"the model has the inputs {', '.join(inputs)}; give an .npz file with an array for each")
        return {next(iter(inputs)): loaded}
    missing = [name for name in inputs if name not in loaded.files]
    if missing and len(inputs) == 1 and "x" in loaded.files:
        return {missing[0]: loaded["x"]}
    if missing:
        raise SystemExit(f"{path} lacks {', '.join(missing)}; it holds {', '.join(loaded.files)}")
    return {name: loaded[name] for name in inputs}


def run(
    interpreter: Interpreter, inputs: dict[str, Details], outputs: dict[str, Details], row: dict[str, Array]
) -> dict[str, Array]:
    """Return the answers to one row, in real numbers."""
    for name, detail in inputs.items():
        shape = [1, *detail["shape"][1:]]
        interpreter.set_tensor(detail["index"], to_model(row[name].reshape(shape), detail))
    interpreter.invoke()
    return {name: from_model(interpreter.get_tensor(d["index"]), d) for name, d in outputs.items()}


def to_model(array: Array, detail: Details) -> Array:
    """Return real numbers as the model takes them."""
    scale, zero_point = detail["quantization"]
    dtype: np.dtype[Any] = np.dtype(detail["dtype"])
    if not scale or dtype.kind not in "iu":
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    integers: Array = np.clip(np.rint(array / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return integers


def from_model(array: Array, detail: Details) -> Array:
    """Return the model's numbers as real ones."""
    scale, zero_point = detail["quantization"]
    return (array.astype(np.float32) - zero_point) * scale if scale and array.dtype.kind in "iu" else array


def describe(scores: Array, labels: list[str]) -> str:
    """Return the best label with its score, or the numbers if there are no labels."""
    flat = scores.ravel()
    if not labels:
        return " ".join(f"{value:.4g}" for value in flat)
    best = int(flat.argmax())
    return f"{labels[best]}\t{flat[best]:.3f}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a LiteRT model.")
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--labels", type=Path, help="a file with one label on each line")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
