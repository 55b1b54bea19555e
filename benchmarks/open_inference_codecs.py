"""What it costs to read and write V2 bodies in-process, without server, queue or engine.

    python -m benchmarks.open_inference_codecs

The request is one 28x28x1 FP32 image, the answer ten FP32 numbers. Prints microseconds, the best of five.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.json_body import dump
from inference.protocols.messages import InferResponse
from inference.protocols.open_inference import decode_infer, encode_infer

SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 28, 28, 1)),),
    outputs=(TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 10)),),
)
ROUNDS = 5


def best_us(call: Callable[[], Any], *, repeats: int) -> float:
    """Return the least mean time of a call over some rounds, in microseconds."""
    call()
    means = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        for _ in range(repeats):
            call()
        means.append((time.perf_counter() - started_s) / repeats)
    return min(means) * 1e6


def main() -> None:
    """Measure and print."""
    random = np.random.default_rng(0)
    image = random.random((1, 28, 28, 1), dtype=np.float32)
    answer = InferResponse(
        model="m", version=1, prediction_id="0" * 32, outputs={"probabilities": random.random((1, 10), np.float32)}
    )
    tensor = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "FP32"}
    described = {**tensor, "parameters": {"binary_data_size": image.nbytes}}
    head = dump({"inputs": [described], "parameters": {"binary_data_output": True}})
    bodies = {
        "binary": (head + image.tobytes(), len(head)),
        "raw": (image.tobytes(), 0),
        "JSON": (dump({"inputs": [{**tensor, "data": image.reshape(-1)}]}), None),
    }
    for name, (body, size) in bodies.items():
        request = decode_infer(body, SIGNATURE, head_size=size)
        repeats = 2_000 if size is None else 20_000
        reading = best_us(lambda b=body, s=size: decode_infer(b, SIGNATURE, head_size=s), repeats=repeats)  # type: ignore[misc]
        writing = best_us(lambda r=request: encode_infer(r, answer), repeats=repeats)  # type: ignore[misc]
        print(f"{name:<8} read {reading:7.2f} us   write {writing:6.2f} us")


if __name__ == "__main__":
    main()
