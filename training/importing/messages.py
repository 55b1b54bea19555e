"""What the command and the process that examines a model tell each other, as JSON files in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiplatform.artifacts import ImageInput
from aiplatform.tensors import Signature
from training.runtimes.base import GivenSignature, ModelForm

MODEL_FOLDER = "model"  # beside the result: the model as the artifact will hold it
WARMUP_INPUTS, WARMUP_OUTPUTS = "inputs.npz", "outputs.npz"
PROFILE = "profile.json"
CALIBRATION = "calibration.json"

# The manifest's framework and format for what is brought in.
KINDS: Mapping[ModelForm, tuple[str, str]] = {
    ModelForm.SAVED_MODEL: ("tensorflow", "saved_model"),
    ModelForm.KERAS: ("tensorflow", "saved_model"),
    ModelForm.ONNX: ("onnx", "onnx"),
    ModelForm.TORCH_EXPORT: ("torch", "torch_export"),
    ModelForm.TORCHSCRIPT: ("torch", "torchscript"),
    ModelForm.LITERT: ("litert", "litert"),
    ModelForm.REMOTE: ("remote", "remote"),
}
TASKS = ("image_classification", "tabular_classification", "regression")


@dataclass(frozen=True, kw_only=True)
class ImportOrder:
    """What to examine. `source` is a private copy of what lay in `origin`; `task` empty: found from the outputs."""

    form: ModelForm
    source: str
    origin: str = ""
    given: GivenSignature = field(default_factory=GivenSignature)
    signature_name: str = ""
    labels: tuple[str, ...] = ()
    task: str = ""
    image: ImageInput | None = None
    samples: str = ""
    target: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What the model is. `sample_rows` 0: no sample data was given, so there is no profile."""

    signature: Signature
    task: str
    labels: tuple[str, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    sample_rows: int = 0
    notes: tuple[str, ...] = ()
