"""What the command and the process that exports tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiplatform.artifacts import Manifest


class ExportForm(StrEnum):
    """What a version can be exported as."""

    ARTIFACT = "artifact"
    SAVED_MODEL = "saved_model"
    ONNX = "onnx"
    LITERT = "litert"


class Quantization(StrEnum):
    """How numbers are made smaller: `float16` the weights, `int8` weights and arithmetic."""

    NONE = "none"
    FLOAT16 = "float16"
    INT8 = "int8"


@dataclass(frozen=True, kw_only=True)
class HeldOutData:
    """Rows for calibration and measuring: of a data source as training splits it, or of a samples file.

    `fingerprint` is what the version was trained on; empty: not known. `is_own`: nobody named this
    data, it is the version's own; if it is away, other things can still be compared.
    """

    uri: str = ""
    target: str = ""
    seed: int = 0
    fingerprint: str = ""
    samples: str = ""
    is_own: bool = False


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What to convert. `artifact` is a verified folder; `data` None: only the warm-up rows are compared."""

    artifact: str
    manifest: Manifest
    form: ExportForm
    quantize: Quantization = Quantization.NONE
    integer_io: bool = False
    data: HeldOutData | None = None


@dataclass(frozen=True, kw_only=True)
class Side:
    """The model before or after. `latency_ms`: median of single rows, one thread."""

    format: str
    size_bytes: int
    latency_ms: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """How the exported model compares with the version it was made from.

    `agreement`: share of rows with the same predicted label, None for a regression; differences are
    of the first output, over all compared rows.
    """

    model: str
    version: int
    quantize: str
    before: Side
    after: Side
    compared_rows: int
    calibration_rows: int
    data: str
    is_training_data: bool | None
    agreement: float | None
    largest_difference: float
    mean_difference: float
    labels: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    made_at: str = ""
