"""Small models that go bad on command: what a rollout must turn back, with the moment of the fault known.

A row is four numbers and a mark; the answer is which number is the greatest. With a mark of 0 all models answer
the same, and rightly. With a mark of 1 one fails, one is slow, one names the least number, and one goes on as before.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

INPUT, OUTPUT = "x", "probabilities"
NUMBERS = 4
LABELS = ("a", "b", "c", "d")
MARK = NUMBERS  # the column
SLOW_ROUNDS = 1500  # some 100 ms of one core
_SIDE = 128  # of the matrix that a slow model multiplies
_SHARPNESS = 10.0
_OPSET, _IR_VERSION = 17, 8

Array = np.ndarray[Any, Any]


class Fault(StrEnum):
    """What a mark of 1 does to a model."""

    NONE = "none"
    FAILS = "fails"
    SLOW = "slow"
    WRONG = "wrong"


def make_rows(count: int, *, seed: int = 0, mark: float = 0.0) -> tuple[Array, list[str]]:
    """Return rows, shape (count, 5) float32, and the true label of each."""
    rows = np.random.default_rng(seed).random((count, NUMBERS + 1)).astype(np.float32)
    rows[:, MARK] = mark
    return rows, [LABELS[place] for place in rows[:, :NUMBERS].argmax(axis=1)]


def write_model(path: Path, fault: Fault) -> None:
    """Write a model of this fault as an ONNX file."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = {
        "numbers": np.eye(NUMBERS + 1, NUMBERS, dtype=np.float32) * _SHARPNESS,
        "mark": np.eye(NUMBERS + 1, dtype=np.float32)[:, MARK:],
        "one": np.ones(1, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", [INPUT, "numbers"], ["logits"]),
        helper.make_node("MatMul", [INPUT, "mark"], ["marks"]),
        *_fault_nodes(fault, arrays),
        helper.make_node("Mul", ["logits", "factor"], ["judged"]),
        helper.make_node("Softmax", ["judged"], [OUTPUT], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        f"answers_{fault}",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", NUMBERS + 1])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", len(LABELS)])],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _fault_nodes(fault: Fault, arrays: dict[str, Array]) -> list[Any]:
    """Return the nodes that make `factor`, which the logits are multiplied by; constants go into `arrays`."""
    from onnx import helper

    if fault is Fault.WRONG:  # 1 - 2 mark: the least becomes the greatest
        arrays["two"] = np.array([2], np.float32)
        return [
            helper.make_node("Mul", ["marks", "two"], ["twice"]),
            helper.make_node("Sub", ["one", "twice"], ["factor"]),
        ]
    greatest = [
        helper.make_node("ReduceMax", ["marks"], ["greatest"], keepdims=0),
        helper.make_node("Cast", ["greatest"], ["place"], to=7),
    ]
    if fault is Fault.FAILS:  # there is one factor only: place 1 is out of bounds, which the runtime refuses
        return [*greatest, helper.make_node("Gather", ["one", "place"], ["factor"])]
    if fault is Fault.SLOW:
        return [*greatest, *_slow_nodes(arrays)]
    return [helper.make_node("Identity", ["one"], ["factor"])]


def _slow_nodes(arrays: dict[str, Array]) -> list[Any]:
    """Return a loop that multiplies matrices `place` times SLOW_ROUNDS times, and comes to a factor of 1."""
    from onnx import TensorProto, helper

    matrix = np.full((_SIDE, _SIDE), 1 / _SIDE, np.float32)  # times itself it is itself
    arrays.update(matrix=matrix, rounds=np.array(SLOW_ROUNDS, np.int64), goes_on=np.array(True))
    arrays["side"] = np.array([_SIDE], np.float32)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("MatMul", ["before", "matrix"], ["after"]), helper.make_node("Identity", ["on"], ["still"])],
        "multiply",
        [info("round", TensorProto.INT64, []), info("on", TensorProto.BOOL, []),
         info("before", TensorProto.FLOAT, [_SIDE, _SIDE])],
        [info("still", TensorProto.BOOL, []), info("after", TensorProto.FLOAT, [_SIDE, _SIDE])],
    )  # fmt: skip
    return [
        helper.make_node("Mul", ["place", "rounds"], ["times"]),
        helper.make_node("Loop", ["times", "goes_on", "matrix"], ["product"], body=body),
        helper.make_node("ReduceMax", ["product"], ["least_part"], keepdims=0),
        helper.make_node("Mul", ["least_part", "side"], ["factor"]),
    ]
