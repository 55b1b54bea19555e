"""A small PyTorch network compiled for real: ONNX Runtime and AOTInductor are equal to it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifacts import MANIFEST, decode_manifest, read_arrays, read_manifest
from inference.compiling.compiler import CompileOrder, compile_artifact
from inference.compiling.packs import EnginePack, PackStore
from inference.compiling.steps import SkippedError, convert_model
from inference.compiling.table import CandidateState
from inference.engines import EngineKind, EngineOptions, open_engine
from tests.inference.compiling.models import TORCH_MANIFEST, pictures, write_torch_artifact

pytestmark = [pytest.mark.long, pytest.mark.torch, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_torch_artifact(tmp_path_factory.mktemp("torch") / "1")


@pytest.fixture(scope="module")
def pack(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> EnginePack:
    folder = tmp_path_factory.mktemp("compiled")
    _, digest = read_manifest(str(artifact))
    packs = PackStore([f"file://{folder}/packs"], cache=folder / "cache")
    order = CompileOrder(folder=artifact, digest=digest, scratch=folder / "scratch", timeout_s=500)
    return packs.fetch(compile_artifact(order, packs), digest=digest)


def test_every_engine_reproduces_the_trainers_outputs_and_is_timed(pack: EnginePack) -> None:
    rows = {row.engine: row for row in pack.table.candidates}
    assert set(rows) == {"torch", "onnxruntime", "aot_inductor"}
    has_compiler = bool(shutil.which("g++"))
    for name, row in rows.items():
        if name == "aot_inductor" and not has_compiler:
            assert row.state is CandidateState.SKIPPED
            continue
        assert row.state is CandidateState.EQUAL, (name, row.reason)
        assert {timing.rows for timing in row.timings} == {1, 8, 32}


@pytest.mark.parametrize("engine", [EngineKind.ONNXRUNTIME, EngineKind.AOT_INDUCTOR])
def test_a_compiled_network_takes_any_number_of_rows(pack: EnginePack, artifact: Path, engine: EngineKind) -> None:
    files = pack.files(engine)
    if files is None:
        pytest.skip("there is no C++ compiler here")
    running = open_engine(engine, files, TORCH_MANIFEST, EngineOptions(threads=1))
    expected = read_arrays(artifact / "warmup" / "outputs.npz")
    for rows in (1, 3, 5):
        found = running.run({"image": pictures()["image"][:rows]})
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"][:rows], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found["embedding"], expected["embedding"][:rows], rtol=1e-4, atol=1e-4)
    assert running.name == engine
    running.close()


def test_without_a_cpp_compiler_inductor_is_skipped_and_says_so(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    manifest = decode_manifest((artifact / MANIFEST).read_bytes())
    with pytest.raises(SkippedError, match=r"needs a C\+\+ compiler"):
        convert_model(EngineKind.AOT_INDUCTOR, artifact, manifest, tmp_path)
    with pytest.raises(SkippedError, match="not TorchScript"):
        script = replace(manifest, model_format="torchscript")
        convert_model(EngineKind.AOT_INDUCTOR, artifact, script, tmp_path)
