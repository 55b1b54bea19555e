"""Where each form of model lies in an artifact's `model/` folder."""

from __future__ import annotations

from pathlib import Path

from training.runtimes.base import ModelForm

FILES = {
    ModelForm.ONNX: "model.onnx",
    ModelForm.TORCH_EXPORT: "model.pt2",
    ModelForm.TORCHSCRIPT: "model.pt",
    ModelForm.LITERT: "model.tflite",
    ModelForm.REMOTE: "remote.json",
}


def locate_model(folder: Path, form: ModelForm) -> Path:
    """Return the file, or for a SavedModel the folder itself, as `open_runtime` takes it."""
    return folder / FILES[form] if form in FILES else folder
