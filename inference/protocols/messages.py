"""What a request asks and an answer says, whatever the wire format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

JSON_CONTENT = b"application/json"


class Form(StrEnum):
    """How the answer is laid out: TF Serving's two forms, or tensors."""

    ROWS = "rows"
    COLUMNS = "columns"
    TENSORS = "tensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """Named arrays as the signature wants them. `outputs` empty asks for all; `id` is echoed."""

    inputs: Arrays
    form: Form
    outputs: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResponse:
    """What an engine answered, all rows."""

    model: str
    version: int
    prediction_id: str
    outputs: Arrays


@dataclass(frozen=True, slots=True)
class Encoded:
    """A body with the headers that describe it."""

    body: bytes
    content_type: bytes = JSON_CONTENT
    headers: tuple[tuple[bytes, bytes], ...] = ()
