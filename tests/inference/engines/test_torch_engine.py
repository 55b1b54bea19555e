"""Exported programs and TorchScript, and files that would run code when loaded."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import ArtifactError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines import EngineOptions, load_engine
from inference.loaded import load_version
from tests.inference.serving_fakes import make_info, make_manifest, write_artifact

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"),
]

X = TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 4))
Y = TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 3))
SIGNATURE = Signature(inputs=(X,), outputs=(Y,))
EXPORTED = make_manifest(SIGNATURE, name="tiny", framework="torch", model_format="torch_export")
SCRIPT = replace(EXPORTED, model_format="torchscript")


def build() -> Any:
    import torch

    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1)).eval()


def export(module: Any, folder: Path) -> None:
    import torch

    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(module, (torch.zeros(2, 4),), dynamic_shapes=({0: rows},))
    torch.export.save(program, folder / "model.pt2")


def script(module: Any, folder: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.zeros(2, 4)).save(str(folder / "model.pt"))


@pytest.mark.parametrize(("manifest", "save"), [(EXPORTED, export), (SCRIPT, script)])
def test_a_module_computes_what_the_trainer_computed(
    tmp_path: Path, manifest: Any, save: Callable[[Any, Path], None]
) -> None:
    import torch

    module = build()
    inputs = {"x": np.random.default_rng(0).random((5, 4), dtype=np.float32)}
    with torch.no_grad():
        outputs = {"probabilities": module(torch.from_numpy(inputs["x"])).numpy()}
    folder = write_artifact(tmp_path / "1", manifest, inputs, outputs, lambda folder: save(module, folder))
    loaded = load_version(endpoint="tiny", info=make_info(name="tiny"), folder=folder, options=EngineOptions(threads=1))
    frozen = inputs["x"][1:3]
    frozen.flags.writeable = False
    answer = loaded.queue.run_blocking({"x": frozen}, deadline=time.monotonic() + 30)
    np.testing.assert_allclose(answer["probabilities"], outputs["probabilities"][1:3], rtol=1e-5)
    loaded.close()


def test_a_program_that_holds_a_pickled_object_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "model.pt2"
    export(build(), tmp_path / "model")
    _rewrite(path, {"config": {"evil": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}}})
    with pytest.raises(ArtifactError, match="pickled object"):
        load_engine(tmp_path, EXPORTED)


def test_a_program_with_code_where_a_shape_should_be_is_refused_unread(tmp_path: Path) -> None:
    from inference.engines.torch_program import load_program

    marker = tmp_path / "was-run"
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "model.pt2"
    export(build(), tmp_path / "model")
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].partition("/")[0]
    document = {"range_constraints": [{"expr_str": f"__import__('pathlib').Path({str(marker)!r}).touch()"}]}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{folder}/models/more.json", json.dumps(document))
    with pytest.raises(ArtifactError, match="code where a shape should be"):
        load_engine(tmp_path, EXPORTED)
    with pytest.raises(ArtifactError, match="code where a shape should be"):
        load_program(tmp_path / "model", EXPORTED)
    assert not marker.exists()


def test_a_pickle_in_place_of_a_model_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "was-run"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    (tmp_path / "model").mkdir()
    for name, manifest in (("model.pt2", EXPORTED), ("model.pt", SCRIPT)):
        (tmp_path / "model" / name).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(ArtifactError):
            load_engine(tmp_path, manifest)
    assert not marker.exists()


def test_a_weight_that_is_a_pickle_runs_nothing(tmp_path: Path) -> None:
    import torch

    marker = tmp_path / "was-run"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    (tmp_path / "model").mkdir()
    export(build(), tmp_path / "model")
    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    _replace_members(tmp_path / "model" / "model.pt2", "sample_inputs", buffer.getvalue())
    with pytest.raises(ArtifactError):
        load_engine(tmp_path, EXPORTED)
    assert not marker.exists()


def test_a_model_folder_must_hold_one_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ArtifactError, match=r"one \*\.pt2 file, not 0"):
        load_engine(tmp_path, EXPORTED)


def test_texts_are_refused(tmp_path: Path) -> None:
    signature = Signature(inputs=(replace(X, dtype=DType.BYTES),), outputs=(Y,))
    with pytest.raises(ArtifactError, match="no BYTES tensors"):
        load_engine(tmp_path, replace(EXPORTED, signature=signature))


def _rewrite(path: Path, constants: dict[str, Any]) -> None:
    _replace_members(path, "_constants_config.json", json.dumps(constants).encode())


def _replace_members(path: Path, part: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert any(part in name for name in members), list(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, raw in members.items():
            archive.writestr(name, content if part in name else raw)
