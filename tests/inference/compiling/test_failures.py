"""Converters that fail, hang, kill their process or compute something else cost their own engine only."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifacts import read_manifest
from aiplatform.errors import ArtifactCorruptError, ArtifactError, InvalidInputError
from inference.compiling.compiler import CompileOrder, compile_artifact
from inference.compiling.packs import PackStore
from inference.compiling.table import CandidateState, EngineTable
from inference.compiling.worker import WorkOrder, try_engine
from inference.engines import EngineKind
from inference.warmup import read_samples
from tests.inference.compiling.models import LINEAR, ONNX_MANIFEST, linear_model, write_onnx_artifact
from tests.inference.serving_fakes import make_manifest

# A stand-in for the compiling process: what each engine comes to is said by its name.
WORKER = """
import json, os, sys, time
from pathlib import Path
order = json.load(open(sys.argv[1]))
for kind in order["kinds"]:
    Path(order["results"], kind + ".begun").touch()
    if kind == "onnxruntime": print("terminate called"); sys.stdout.flush(); os.abort()
    if kind == "litert": time.sleep(60)
    folder = Path(order["out"], kind); folder.mkdir(exist_ok=True); (folder / "file").write_text(kind)
    times = [{"threads": order["threads"], "rows": r, "ms": 1.0} for r in (1, 8, 32)]
    state = "unequal" if kind == "tensorflow_xla" else "equal"
    row = {"engine": kind, "state": state, "is_native": kind == "tensorflow", "timings": times}
    Path(order["results"], kind + ".json").write_text(json.dumps(row))
"""


def store(folder: Path) -> PackStore:
    return PackStore([f"file://{folder}/packs"], cache=folder / "cache")


def compile_with(worker: str, artifact: Path, folder: Path, *, timeout_s: float = 30.0) -> EngineTable:
    (folder / "worker.py").write_text(worker)
    _, digest = read_manifest(str(artifact))
    order = CompileOrder(
        folder=artifact, digest=digest, scratch=folder / "scratch", timeout_s=timeout_s, threads=(2,),
        worker=(sys.executable, str(folder / "worker.py")),
    )  # fmt: skip
    packs = store(folder)
    return packs.fetch(compile_artifact(order, packs), digest=digest).table


def test_a_converter_that_kills_its_process_or_hangs_is_said_and_skipped(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1", make_manifest(LINEAR, name="linear"))
    table = compile_with(WORKER, artifact, tmp_path, timeout_s=3.0)
    states = {row.engine: row.state for row in table.candidates}
    assert states == {
        "tensorflow": "equal", "litert": "failed", "onnxruntime": "failed", "tensorflow_xla": "unequal",
    }  # fmt: skip
    assert "killed by signal 6: terminate called" in _reason(table, "onnxruntime")
    assert "stopped after" in _reason(table, "litert")
    assert "COMPILE_TIMEOUT_S 3" in _reason(table, "litert")
    assert table.candidates[0].engine == "tensorflow"


def test_files_of_engines_that_are_not_equal_are_not_kept(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1", make_manifest(LINEAR, name="linear"))
    compile_with(WORKER.replace("time.sleep(60)", "sys.exit(3)"), artifact, tmp_path)
    kept = {path.parent.name for path in (tmp_path / "packs").rglob("file")}
    assert kept == {"tensorflow"}
    assert list((tmp_path / "scratch").iterdir()) == []


def test_weights_that_were_tampered_with_are_refused_and_said(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1")
    (tmp_path / "onnxruntime").mkdir()
    wrong = np.array([[1, 2], [3, 4], [5, 6.5]], dtype=np.float32)
    (tmp_path / "onnxruntime" / "model.onnx").write_bytes(linear_model(wrong))
    order = WorkOrder(
        folder=artifact, out=tmp_path, results=tmp_path, kinds=(EngineKind.ONNXRUNTIME,), threads=1, makes=False
    )  # fmt: skip
    row = try_engine(EngineKind.ONNXRUNTIME, order, read_samples(artifact, ONNX_MANIFEST))
    assert row.state is CandidateState.UNEQUAL
    assert "output 'y' differs from the trainer's by up to 0." in row.reason
    assert row.timings == ()


def test_a_broken_model_is_a_failed_engine_with_a_reason(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1")
    (artifact / "model" / "model.onnx").write_bytes(b"no model")
    order = WorkOrder(folder=artifact, out=tmp_path, results=tmp_path, kinds=(EngineKind.ONNXRUNTIME,), threads=1)
    row = try_engine(EngineKind.ONNXRUNTIME, order, read_samples(artifact, ONNX_MANIFEST))
    assert row.state is CandidateState.FAILED
    assert "cannot be loaded" in row.reason


def test_a_remote_model_is_not_compiled(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1", make_manifest(LINEAR, framework="remote", model_format="remote"))
    with pytest.raises(InvalidInputError, match="runs on a remote server"):
        compile_with(WORKER, artifact, tmp_path)


def test_each_compilation_adds_a_pack_and_only_the_last_two_are_kept(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1")
    _, digest = read_manifest(str(artifact))
    for _ in range(3):
        compile_with(WORKER.replace("os.abort()", "pass"), artifact, tmp_path)
    [machine] = list((tmp_path / "packs").glob("*/*"))
    assert sorted(path.name for path in machine.iterdir()) == ["2", "3"]
    place = store(tmp_path).find(digest, machine.name)
    assert place is not None and place.number == 3


def test_a_pack_with_an_altered_byte_is_refused(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1")
    _, digest = read_manifest(str(artifact))
    compile_with(WORKER.replace("os.abort()", "pass"), artifact, tmp_path)
    [file] = list((tmp_path / "packs").rglob("onnxruntime/file"))
    file.write_text("other")
    [place] = store(tmp_path).list_newest(digest)
    with pytest.raises(ArtifactCorruptError, match=r"engines/onnxruntime/file' is altered"):
        store(tmp_path).fetch(place, digest=digest)


def test_a_store_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    artifact = write_onnx_artifact(tmp_path / "1")
    (tmp_path / "full").write_text("a file where a folder should be")
    packs = PackStore([f"file://{tmp_path}/full", f"file://{tmp_path}/own"], cache=tmp_path)
    place = packs.publish(artifact, manifest=ONNX_MANIFEST, digest="sha256:1", machine="m")
    assert place.uri == f"file://{tmp_path}/own/sha256-1/m/1"
    only = PackStore([f"file://{tmp_path}/full"], cache=tmp_path)
    with pytest.raises(ArtifactError, match="no store takes the engine pack"):
        only.publish(artifact, manifest=ONNX_MANIFEST, digest="sha256:1", machine="m")


def _reason(table: EngineTable, engine: str) -> str:
    row = table.find(engine)
    assert row is not None
    return row.reason
