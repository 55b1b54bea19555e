"""Hand-written stand-ins: a registry over real artifacts, and an engine that multiplies by a number."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import ImageInput, Lineage, Manifest
from aiplatform.contracts.training import ModelVersionInfo, ModelVersionList
from aiplatform.errors import NotFoundError, UnavailableError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.choice import EngineWish
from inference.engines import EngineOptions
from inference.loaded import LoadedVersion, load_version

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 1)),),
    outputs=(TensorSpec(name="y", dtype=DType.FP32, shape=(-1, 1)),),
)
LINEAGE = Lineage(
    run_id="run-1", recipe="times", parameters={}, data_uri="memory", data_fingerprint="f", code_commit="c",
    packages={}, seed=0,
)  # fmt: skip


def write_times_artifact(root: Path, *, model: str, version: int, factor: float) -> ModelVersionInfo:
    """Write an artifact whose model multiplies its input; return it as registered."""
    uri = f"file://{root}/{model}/{version}"
    x = np.array([[1.0], [2.0]], dtype=np.float32)
    (root / model).mkdir(parents=True, exist_ok=True)
    with stage_artifact(uri) as staged:
        (staged.folder / "model").mkdir()
        (staged.folder / "model" / "factor.txt").write_text(str(factor))
        staged.write_warmup({"x": x}, {"y": x * np.float32(factor)})
        manifest = Manifest(
            name=model, version=version, framework="times", model_format="text", task="image_classification",
            signature=SIGNATURE, lineage=LINEAGE, labels=("no", "yes"), image=ImageInput(height=8, width=8, channels=1),
        )  # fmt: skip
        digest = staged.commit(manifest)
    return ModelVersionInfo(
        model=model, version=version, artifact_uri=uri, artifact_digest=digest, framework="times",
        task="image_classification", run_id="run-1", created_at="2026-11-22T00:00:00Z", labels=("no", "yes"),
    )  # fmt: skip


class FakeRegistry:
    """Training's contract over artifacts in a folder; `is_away` makes every call fail."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.versions: dict[tuple[str, int], ModelVersionInfo] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self.is_away = False
        self.calls = 0

    def add(self, model: str, version: int, *, factor: float | None = None) -> ModelVersionInfo:
        info = write_times_artifact(self.root, model=model, version=version, factor=factor or float(version))
        self.versions[model, version] = info
        return info

    def get_model_version(self, model: str, reference: str) -> ModelVersionInfo:
        self.calls += 1
        if self.is_away:
            raise UnavailableError("training cannot be reached")
        mine = [v for m, v in self.versions if m == model]
        number = max(mine, default=0) if reference == "latest" else self.aliases.get((model, reference), 0)
        number = int(reference) if reference.isdecimal() else number
        if (model, number) not in self.versions:
            raise NotFoundError(f"there is no version '{reference}' of model '{model}'")
        return self.versions[model, number]

    def list_model_versions(self, model: str) -> ModelVersionList:
        return ModelVersionList(versions=tuple(i for (m, _), i in self.versions.items() if m == model))


class TimesEngine:
    """Multiplies; `wrong` makes it compute something else than the trainer did."""

    name = "times"
    releases_gil = True
    concurrency = 1

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.is_closed = False

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if self.is_closed:
            raise RuntimeError("the engine was used after it was closed")
        return {"y": inputs["x"] * np.float32(self.factor)}

    def close(self) -> None:
        self.is_closed = True


class TimesLoader:
    """Loads artifacts through the real `load_version` with a TimesEngine; may be held up."""

    def __init__(self) -> None:
        self.engines: list[TimesEngine] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(
        self, *, endpoint: str, info: ModelVersionInfo, folder: Path, wish: EngineWish | None = None
    ) -> LoadedVersion:
        assert self.gate.wait(10)
        return load_version(endpoint=endpoint, info=info, folder=folder, loader=self._open, wish=wish)

    def _open(self, folder: Path, manifest: Manifest, options: EngineOptions) -> TimesEngine:
        engine = TimesEngine(float((folder / "model" / "factor.txt").read_text()))
        self.engines.append(engine)
        return engine


def poll(condition: Any, *, deadline_s: float = 10.0, act: Any = lambda: None, what: str = "") -> None:
    """Act and look until the condition holds; fail at the deadline."""
    until = time.monotonic() + deadline_s
    while True:
        act()
        if condition():
            return
        assert time.monotonic() < until, f"not within {deadline_s} s: {what or condition}"
        time.sleep(0.01)
