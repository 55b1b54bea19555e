"""What a request asks and an answer says, whatever the wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from inference.protocols.urgency import ORDINARY, Urgency

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

JSON_CONTENT = b"application/json"
BINARY_CONTENT = b"application/octet-stream"


class Form(StrEnum):
    """How the answer is laid out: TF Serving's two forms, or tensors."""

    ROWS = "rows"
    COLUMNS = "columns"
    TENSORS = "tensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLayout:
    """How a request wants each output: as raw bytes, or as its best classes; else as JSON."""

    binary: frozenset[str] = frozenset()
    classes: Mapping[str, int] = field(default_factory=dict)


AS_JSON = OutputLayout()


@dataclass(slots=True, kw_only=True)  # made on each request: freezing would cost more than all the rest
class InferRequest:
    """Named arrays as the signature wants them. `outputs` empty asks for all; `id` is echoed.

    `subject` is whom it is about, if the request says so itself.
    """

    inputs: Arrays
    form: Form
    outputs: tuple[str, ...] = ()
    id: str = ""
    layout: OutputLayout = AS_JSON
    urgency: Urgency = ORDINARY
    subject: str = ""


@dataclass(slots=True, kw_only=True)
class InferResponse:
    """What an engine answered, all rows. `labels` are the names of the classes, if it has any."""

    model: str
    version: int
    prediction_id: str
    outputs: Arrays
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A body with the headers that describe it."""

    body: bytes
    content_type: bytes = JSON_CONTENT
    headers: tuple[tuple[bytes, bytes], ...] = ()
