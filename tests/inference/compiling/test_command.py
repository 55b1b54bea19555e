"""`manage.py compile_engines` and the orders that start it, as real processes over a tiny ONNX model."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from aiplatform.artifacts import read_manifest
from aiplatform.contracts.engines import CompileVersion
from aiplatform.errors import InvalidInputError
from inference import engine_reports
from inference.compiling.compiler_queue import CompilerQueue
from inference.compiling.here import compile_command, compiler_queue, pack_store, work_folder
from inference.compiling.lock import compile_lock, is_compiling
from inference.compiling.machine import machine_kind
from tests.inference.compiling.models import write_onnx_artifact
from tests.inference.endpoints.fakes import poll
from tests.inference.serving_fakes import make_info

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Site:
    """A data folder with one artifact, for this process's settings and its children's alike."""

    folder: Path
    artifact: Path
    digest: str

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "DJANGO_SETTINGS_MODULE": "aiplatform.settings", "DATA_DIR": str(self.folder)}

    def order(self, **more: Any) -> CompileVersion:
        return CompileVersion(
            model="linear", version=1, artifact_uri=str(self.artifact), artifact_digest=self.digest, **more
        )  # fmt: skip

    def start(self, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "compile_engines", str(self.artifact), self.digest, *more]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def packs(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "artifacts" / "engines").glob("*/*/*"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    artifact = write_onnx_artifact(tmp_path / "artifacts" / "linear" / "1")
    site = Site(tmp_path, artifact, read_manifest(str(artifact))[1])
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    changes = {
        "DATA_DIR": tmp_path,
        "ENGINE_STORE": f"file://{tmp_path}/artifacts/engines",
        "ARTIFACT_CACHE_DIR": tmp_path / "artifact-cache",
    }
    with override_settings(**changes):
        for cached in (pack_store, compiler_queue):
            cached.cache_clear()
        yield site
        compiler_queue().stop()
        for cached in (pack_store, compiler_queue):
            cached.cache_clear()


def test_two_compilers_at_once_make_one_pack(site: Site) -> None:
    first, second = site.start(), site.start()
    said = [process.communicate(timeout=90)[0].strip().splitlines()[-1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert sorted(line.split(": ")[0] for line in said) == ["compiled", "compiled already"]
    assert site.packs() == ["1"]


def test_an_order_compiles_in_the_background_and_the_report_says_how_it_went(site: Site) -> None:
    before = engine_reports.report_engines(site.digest)
    assert (before.state, before.reports) == ("missing", ())
    assert engine_reports.order_compilation(site.order(is_automatic=True)).state == "off"
    assert engine_reports.order_compilation(site.order()).state == "compiling"
    poll(lambda: engine_reports.report_engines(site.digest).state == "ready", deadline_s=90)
    [report] = engine_reports.report_engines(site.digest).reports
    [row] = report.engines
    assert (row.engine, row.state, row.is_native, row.is_chosen) == ("onnxruntime", "equal", True, True)
    assert [time.rows for time in row.times] == [1, 8, 32]
    assert report.machine == machine_kind()
    assert engine_reports.order_compilation(site.order()).state == "ready"  # nothing is done twice
    assert site.packs() == ["1"]


def test_what_cannot_be_compiled_is_failed_with_the_last_line(site: Site) -> None:
    (site.artifact / "model" / "model.onnx").write_bytes(b"altered")
    engine_reports.order_compilation(site.order())
    poll(lambda: engine_reports.report_engines(site.digest).state == "failed", deadline_s=60)
    assert "file 'model/model.onnx' is altered" in engine_reports.report_engines(site.digest).detail


def test_a_compilation_ends_with_the_process_that_serves(site: Site) -> None:
    with compile_lock(work_folder(), site.digest, timeout_s=1):  # the child waits for it
        assert is_compiling(work_folder(), site.digest)
        queue = CompilerQueue(command=compile_command, root=ROOT, logs=site.folder)
        queue.start(site.order())
        queue.start(site.order())
        assert queue.is_busy_with(site.digest)
        queue.stop()
        poll(lambda: not queue.is_busy_with(site.digest))
    assert site.packs() == []


def test_an_engine_known_to_fail_is_refused_when_it_is_ordered(site: Site) -> None:
    info = make_info(name="linear")
    for engine, rule in (
        ("gpu", "there is no engine 'gpu'; the engines are: auto, native, tensorflow"),
        ("torch", r"'torch' does not run linear version 1 \(tensorflow\); what may: tensorflow,"),
    ):
        with pytest.raises(InvalidInputError, match=rule):
            engine_reports.check_engine(engine, [info])
    engine_reports.check_engine("onnxruntime", [info])
    engine_reports.check_engine("", [info])
