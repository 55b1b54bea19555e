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


# One of each of these is made for each request, so they are plain classes: what `dataclass` writes is interpreted even
# in machine code.


class InferRequest:
    """Named arrays as the signature wants them. `outputs` empty asks for all; `id` is echoed.

    `subject` is whom it is about, if the request says so itself.
    """

    __slots__ = ("form", "id", "inputs", "layout", "outputs", "subject", "urgency")

    def __init__(
        self,
        *,
        inputs: Arrays,
        form: Form,
        outputs: tuple[str, ...] = (),
        id: str = "",
        layout: OutputLayout = AS_JSON,
        urgency: Urgency = ORDINARY,
        subject: str = "",
    ) -> None:
        self.inputs = inputs
        self.form = form
        self.outputs = outputs
        self.id = id
        self.layout = layout
        self.urgency = urgency
        self.subject = subject


class InferResponse:
    """What an engine answered, all rows. `labels` are the names of the classes, if it has any."""

    __slots__ = ("labels", "model", "outputs", "prediction_id", "version")

    def __init__(
        self, *, model: str, version: int, prediction_id: str, outputs: Arrays, labels: tuple[str, ...] = ()
    ) -> None:
        self.model = model
        self.version = version
        self.prediction_id = prediction_id
        self.outputs = outputs
        self.labels = labels


class Encoded:
    """A body with the headers that describe it."""

    __slots__ = ("body", "content_type", "headers")

    def __init__(
        self, body: bytes, content_type: bytes = JSON_CONTENT, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.body = body
        self.content_type = content_type
        self.headers = headers
