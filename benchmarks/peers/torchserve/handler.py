"""The model as a custom handler of TorchServe: all requests of a batch in one call of the engine."""

from __future__ import annotations

from typing import Any

import engine
import numpy as np
import orjson

loaded: dict[str, Any] = {}


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    """Answer what the front collected: {"instances": ...}, or raw little-endian floats."""
    if "predict" not in loaded:
        loaded["predict"] = engine.load()
    if data is None:  # the first call only loads
        return None
    bodies = [request.get("body") or request.get("data") for request in data]
    are_json = [isinstance(body, dict) for body in bodies]
    inputs = [_rows(body, is_json) for body, is_json in zip(bodies, are_json, strict=True)]
    answers = loaded["predict"](np.concatenate(inputs) if len(inputs) > 1 else inputs[0])
    parts = np.split(answers, np.cumsum([len(rows) for rows in inputs])[:-1])
    return [_answer(part, is_json) for part, is_json in zip(parts, are_json, strict=True)]


def _rows(body: Any, is_json: bool) -> np.ndarray[Any, Any]:
    if is_json:
        return np.asarray(body["instances"], np.float32)
    return np.frombuffer(bytes(body), np.float32).reshape(-1, *engine.ROW)


def _answer(part: np.ndarray[Any, Any], is_json: bool) -> bytes:
    if is_json:
        return orjson.dumps({"predictions": part}, option=orjson.OPT_SERIALIZE_NUMPY)
    return part.tobytes()
