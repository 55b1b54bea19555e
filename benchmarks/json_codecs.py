"""What a JSON request costs the codecs, in-process: parsers that were considered, then both protocols.

    python benchmarks/json_codecs.py

Each figure is the best of many short rounds, in microseconds. The figures in
docs/decisions/json-parsing.md come from here.
"""

from __future__ import annotations

import array
import gc
import json
import platform
import random
import sys
import timeit
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols import number_text, open_inference, tf_serving
from inference.protocols.messages import Form, InferRequest, InferResponse

SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", dtype=DType.FP32, shape=(-1, -1, -1, -1)),),
    outputs=(TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 10)),),
)
DIGITS: dict[str, Callable[[], float]] = {
    "integers 0..255": lambda: random.randint(0, 255),
    "6 digits": lambda: round(random.random(), 6),
    "17 digits": random.random,
}


def best_us(call: Callable[[], Any], *, number: int = 50, rounds: int = 60) -> float:
    """Return the microseconds of one call in the best round."""
    return min(timeit.repeat(call, number=number, repeat=rounds)) / number * 1e6


def parsers(nested: bytes) -> dict[str, Callable[[], Any]]:
    """Return what turns the text of nested lists into a float32 array, by name."""
    typed = msgspec.json.Decoder(list[list[list[list[float]]]])
    flat = msgspec.json.Decoder(list[float])

    def unbracketed() -> bytes:
        return b"[" + nested.translate(None, b"[]") + b"]"

    calls: dict[str, Callable[[], Any]] = {
        "orjson, numpy.asarray": lambda: np.asarray(orjson.loads(nested), dtype=np.float32),
        "msgspec typed, numpy.asarray": lambda: np.asarray(typed.decode(nested), dtype=np.float32),
        "brackets cut, msgspec list[float]": lambda: np.array(flat.decode(unbracketed()), dtype=np.float32),
        "brackets cut, orjson": lambda: np.array(orjson.loads(unbracketed()), dtype=np.float32),
        "brackets cut, orjson, array('d')": lambda: np.frombuffer(array.array("d", orjson.loads(unbracketed()))).astype(
            np.float32
        ),
        "brackets cut, numpy.fromstring": lambda: np.fromstring(
            nested.translate(None, b"[]"), dtype=np.float32, sep=","
        ),
    }
    if number_text.is_available():
        calls["simdjson as_buffer, shape checked"] = lambda: number_text.read_numbers(nested, 4, DType.FP32)
    return calls


def containers_of(call: Callable[[], Any]) -> int:
    """Return how many objects that the garbage collector tracks are made while a call runs."""
    gc.collect()
    gc.disable()
    try:
        before = gc.get_count()[0]
        call()
        return gc.get_count()[0] - before
    finally:
        gc.enable()


def measure_requests(shape: tuple[int, ...]) -> None:
    """Print the figures of a body of this shape."""
    for kind, digit in DIGITS.items():
        random.seed(1)
        values = [digit() for _ in range(int(np.prod(shape)))]
        nested = np.array(values, dtype=object).reshape(shape).tolist()
        text = json.dumps(nested).encode()
        tensor = {"name": "image", "shape": list(shape), "datatype": "FP32"}
        bodies = {
            "V1": json.dumps({"instances": nested}).encode(),
            "V2 flat": json.dumps({"inputs": [{**tensor, "data": values}]}).encode(),
            "V2 nested": json.dumps({"inputs": [{**tensor, "data": nested}]}).encode(),
        }
        rounds = {"number": 50, "rounds": 60} if len(text) < 100_000 else {"number": 1, "rounds": 15}
        print(f"\n{'x'.join(map(str, shape))}, {kind}, {len(text)} bytes")
        for name, call in parsers(text).items():
            print(f"  {name:36} {best_us(call, **rounds):9.1f}")
        for name, body in bodies.items():
            decode = tf_serving.decode_predict if name == "V1" else open_inference.decode_infer
            cost = best_us(lambda d=decode, b=body: d(b, SIGNATURE), **rounds)  # type: ignore[misc]
            made = containers_of(lambda d=decode, b=body: d(b, SIGNATURE))  # type: ignore[misc]
            print(f"  decode {name:29} {cost:9.1f}   tracked objects at the end: {made}")


def measure_answers() -> None:
    """Print the figures of an answer of one row of ten classes."""
    outputs = {"probabilities": np.random.default_rng(0).dirichlet(np.ones(10), size=1).astype(np.float32)}
    response = InferResponse(model="mnist", version=1, prediction_id="0" * 32, outputs=outputs)
    rows, tensors = InferRequest(inputs={}, form=Form.ROWS), InferRequest(inputs={}, form=Form.TENSORS)
    print("\nanswer of (1, 10) float32")
    print(f"  encode V1 {best_us(lambda: tf_serving.encode_predict(rows, response), number=500):35.2f}")
    print(f"  encode V2 {best_us(lambda: open_inference.encode_infer(tensors, response), number=500):35.2f}")


def main() -> None:
    """Print all figures with the versions they belong to."""
    names = ("orjson", "msgspec", "numpy") + (("pysimdjson",) if number_text.is_available() else ())
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names))
    measure_requests((1, 28, 28, 1))
    measure_requests((1, 224, 224, 3))
    measure_answers()


if __name__ == "__main__":
    main()
