"""Texts for a model that takes their bytes: from outside as texts, whichever side of an export it is on.

A program of PyTorch takes a text's first bytes (aiplatform.text_bytes). An exported ONNX file makes them itself: the
text is looked up among the known ones, and the number found there chooses a row of bytes. An unknown text gets bytes
that no text has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import DType, TensorSpec
from aiplatform.text_bytes import encode_text_inputs
from training.recipes.torch_tabular import KNOWN_TEXTS
from training.runtimes import Runtime

_NO_TEXT = 0xFF  # a byte that UTF-8 never has
_ML_DOMAIN, _ML_VERSION = "ai.onnx.ml", 3

Array = np.ndarray[Any, Any]


class TextsAsBytes:
    """A model of bytes, asked with texts."""

    def __init__(self, runtime: Runtime, inputs: tuple[TensorSpec, ...], widths: Mapping[str, int]) -> None:
        self._runtime, self._widths = runtime, dict(widths)
        self.inputs, self.outputs = inputs, runtime.outputs
        self.signature_name = runtime.signature_name

    def run(self, inputs: Arrays) -> Arrays:
        """Encode the texts, as serving does, and run."""
        return self._runtime.run(encode_text_inputs(inputs, self._widths))

    def save(self, folder: Any) -> None:
        """Write the model of bytes."""
        self._runtime.save(folder)


def bytes_specs(inputs: tuple[TensorSpec, ...], widths: Mapping[str, int]) -> tuple[TensorSpec, ...]:
    """Return the inputs as the model has them: uint8 for texts, with their bytes as the last dimension."""
    return tuple(
        replace(spec, dtype=DType.UINT8, shape=(*spec.shape, widths[spec.name])) if spec.name in widths else spec
        for spec in inputs
    )


def known_texts(program: Any, inputs: tuple[TensorSpec, ...], widths: Mapping[str, int]) -> dict[str, Array]:
    """Return the bytes of the texts that a program knows, uint8 (values, width), by input.

    Raises: InvalidConfigurationError if it does not keep them where the recipe for tables does.
    """
    buffers = {**dict(program.named_buffers()), **dict(program.constants)}
    found = {}
    for place, spec in enumerate(inputs):
        if spec.name not in widths:
            continue
        end = KNOWN_TEXTS.format(place=place)
        tables = [table for name, table in buffers.items() if name == end or name.endswith(f".{end}")]
        if len(tables) != 1 or tuple(tables[0].shape[1:]) != (widths[spec.name],):
            raise InvalidConfigurationError(
                f"input '{spec.name}' takes texts as bytes, and the network keeps no table '{end}' of the texts that "
                "it knows; without one it can be exported as artifact only"
            )
        found[spec.name] = tables[0].cpu().numpy()
    return found


def take_texts(model: Any, known: Mapping[str, Array]) -> None:
    """Change an ONNX model so that inputs of bytes take texts, and look them up."""
    for name, table in known.items():
        _rename_uses(model.graph, name, f"{name}_bytes")
        _put_lookup_before(model.graph, name, table)
    if all(one.domain != _ML_DOMAIN for one in model.opset_import):
        from onnx import helper

        model.opset_import.append(helper.make_opsetid(_ML_DOMAIN, _ML_VERSION))


def _rename_uses(graph: Any, before: str, after: str) -> None:
    for node in graph.node:
        node.input[:] = [after if name == before else name for name in node.input]


def _put_lookup_before(graph: Any, name: str, table: Array) -> None:
    from onnx import TensorProto, helper, numpy_helper

    texts = [row.tobytes().rstrip(b"\0").decode() for row in table]
    unknown = np.full((1, table.shape[1]), _NO_TEXT, np.uint8)
    rows = numpy_helper.from_array(np.concatenate([table, unknown]), f"{name}_known")
    find = helper.make_node(
        "LabelEncoder", [name], [f"{name}_number"], domain=_ML_DOMAIN, name=f"{name}_find",
        keys_strings=texts, values_int64s=list(range(len(texts))), default_int64=len(texts),
    )  # fmt: skip
    take = helper.make_node("Gather", [rows.name, f"{name}_number"], [f"{name}_bytes"], axis=0, name=f"{name}_take")
    given = next(value for value in graph.input if value.name == name)
    shape = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim][:-1]  # without that of the bytes
    given.CopyFrom(helper.make_tensor_value_info(name, TensorProto.STRING, shape))
    graph.initializer.append(rows)
    nodes = [find, take, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
