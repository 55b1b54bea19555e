"""A small Keras network compiled for real: every engine is equal, and a replica changes to the fastest."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifacts import WARMUP_OUTPUTS, read_arrays, read_manifest
from aiplatform.contracts.engines import CompileVersion
from aiplatform.contracts.inference import ReplicaState, TrafficShare
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.errors import PlatformError
from inference.choice import AUTO, EngineWish
from inference.compiling.compiler import CompileOrder, compile_artifact
from inference.compiling.machine import machine_kind
from inference.compiling.packs import EnginePack, PackPlace, PackStore
from inference.compiling.supply import EngineSupply
from inference.compiling.table import CandidateState, encode_table
from inference.desired import DesiredEndpoint
from inference.engines import EngineKind, EngineOptions
from inference.loaded import LoadedVersion, load_version
from inference.reconcile.loading import make_loader
from inference.reconcile.reconciler import Reconciler
from inference.reconcile.shelf import Improvement
from inference.recording_api import NoMetrics, NoRecorder
from inference.routing_table import RoutingTable
from inference.serving import PredictService
from tests.inference.compiling.models import KERAS_MANIFEST, pictures, write_keras_artifact
from tests.inference.endpoints.fakes import poll
from tests.inference.reconcile.conftest import FakeStore
from tests.inference.serving_fakes import make_info

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@dataclass
class Compiled:
    """An artifact, its registration and its pack."""

    artifact: Path
    info: ModelVersionInfo
    pack: EnginePack


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("compiled")
    artifact = write_keras_artifact(folder / "1")
    _, digest = read_manifest(str(artifact))
    packs = PackStore([f"file://{folder}/packs"], cache=folder / "cache")
    order = CompileOrder(folder=artifact, digest=digest, scratch=folder / "scratch", timeout_s=280)
    place = compile_artifact(order, packs)
    info = replace(make_info(name="pictures"), artifact_uri=str(artifact), artifact_digest=digest)
    return Compiled(artifact, info, packs.fetch(place, digest=digest))


def load(compiled: Compiled, engine: str = AUTO, **wish: object) -> LoadedVersion:
    pack = wish.get("pack", compiled.pack)
    assert pack is None or isinstance(pack, EnginePack)
    return load_version(
        endpoint="pictures", info=compiled.info, folder=compiled.artifact, options=EngineOptions(threads=1),
        wish=EngineWish(engine=engine, pack=pack, pack_uri=compiled.pack.place.uri),
    )  # fmt: skip


def test_every_engine_reproduces_the_trainers_outputs_and_is_timed(compiled: Compiled) -> None:
    rows = {row.engine: row for row in compiled.pack.table.candidates}
    assert set(rows) == {"tensorflow", "tensorflow_xla", "onnxruntime", "litert"}
    for row in rows.values():
        assert row.state is CandidateState.EQUAL, (row.engine, row.reason)
        assert row.max_error is not None and row.max_error < 1e-4
        assert row.size_bytes > 0
        assert {timing.rows for timing in row.timings} == {1, 8, 32}
    assert compiled.pack.files("onnxruntime") is not None
    assert compiled.pack.files("tensorflow") is None
    assert compiled.pack.table.machine == machine_kind()


@pytest.mark.parametrize("engine", [EngineKind.TENSORFLOW, EngineKind.TENSORFLOW_XLA, "onnxruntime", "litert"])
def test_a_pinned_engine_serves_any_number_of_rows(compiled: Compiled, engine: str) -> None:
    loaded = load(compiled, engine)
    trained = read_arrays(compiled.artifact / WARMUP_OUTPUTS)
    try:
        assert loaded.running.name == engine
        for rows in (1, 3, 5, 1):
            x = pictures()["image"][:rows]
            answer = loaded.queue.run_blocking({"image": x}, deadline=time.monotonic() + 30)
            assert answer["probabilities"].shape == (rows, 3)
            assert answer["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)
            assert list(answer) == ["probabilities", "embedding"]
            assert np.allclose(answer["embedding"], trained["embedding"][:rows], atol=1e-3)
        assert set(loaded.running.call_ms) >= {1, 32}
    finally:
        loaded.close()


def test_left_to_itself_the_fastest_serves(compiled: Compiled) -> None:
    loaded = load(compiled)
    fastest = compiled.pack.table.fastest(1)
    assert fastest is not None
    assert loaded.running.name == fastest.engine
    loaded.close()


def test_a_pack_whose_file_is_unusable_leaves_the_own_engine_serving_and_says_so(
    compiled: Compiled, tmp_path: Path
) -> None:
    for engine in ("onnxruntime", "litert"):
        (tmp_path / "engines" / engine).mkdir(parents=True)
        (tmp_path / "engines" / engine / "model.onnx").write_bytes(b"broken")
    loaded = load(compiled, pack=replace(compiled.pack, folder=tmp_path))
    assert loaded.running.name == "tensorflow"
    assert "is not usable: pictures version 1 cannot be loaded" in loaded.running.note
    loaded.close()
    with pytest.raises(PlatformError, match="cannot be loaded"):
        load(compiled, "onnxruntime", pack=replace(compiled.pack, folder=tmp_path))


def test_a_process_that_serves_a_compiled_version_imports_no_framework(compiled: Compiled) -> None:
    for engine in ("onnxruntime", "litert"):
        code = f"""
import sys
from pathlib import Path
from aiplatform.artifacts import MANIFEST, decode_manifest
from inference.engines import EngineKind, open_engine
from inference.loaded import warm_up
import inference.compiling.supply, inference.reconcile.reconciler
folder = Path({str(compiled.artifact)!r})
manifest = decode_manifest((folder / MANIFEST).read_bytes())
engine = open_engine(EngineKind("{engine}"), Path({str(compiled.pack.files(engine))!r}), manifest)
warm_up(engine, folder, manifest)
engine.close()
print(sorted({{"tensorflow", "keras", "torch", "jax", "tf2onnx", "onnx"}} & set(sys.modules)))
"""
        env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith("[]")


MEMORY = """
import resource, sys
from pathlib import Path
from aiplatform.artifacts import MANIFEST, decode_manifest
from inference.engines import EngineKind, EngineOptions, open_engine
from inference.warmup import prove_equal, read_samples
folder = Path(sys.argv[3])
manifest = decode_manifest((folder / MANIFEST).read_bytes())
samples = read_samples(folder, manifest)

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def again():
    engine = open_engine(EngineKind(sys.argv[1]), Path(sys.argv[2]), manifest, EngineOptions(threads=1))
    prove_equal(engine, samples, most_rows=64)
    engine.close()

for _ in range(30):
    again()
before = resident()
for _ in range(100):
    again()
print(resident() - before)
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "litert"])
def test_a_hundred_loads_and_closes_leave_no_memory_behind(compiled: Compiled, engine: str) -> None:
    command = [sys.executable, "-c", MEMORY, engine, str(compiled.pack.files(engine)), str(compiled.artifact)]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "."}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=env)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4 * 2**20


class FakeCompiler:
    """Publishes a finished pack when it is asked to compile."""

    def __init__(self, compiled: Compiled, packs: PackStore) -> None:
        self._compiled, self._packs = compiled, packs
        self.orders: list[CompileVersion] = []
        self.error = ""
        self.is_busy = False

    def start(self, order: CompileVersion) -> None:
        self.orders.append(order)
        if len(self.orders) == 1:
            self.is_busy = True
            threading.Timer(0.3, self.publish).start()

    def publish(self) -> PackPlace:
        place = self._packs.publish(
            self._compiled.pack.folder, manifest=KERAS_MANIFEST, digest=self._compiled.info.artifact_digest,
            machine=machine_kind(),
        )  # fmt: skip
        self.is_busy = False
        return place

    def is_busy_with(self, digest: str) -> bool:
        return self.is_busy

    def failure(self, digest: str) -> str:
        return self.error


class Bench:
    """A replica over the compiled artifact, whose packs come while it serves."""

    def __init__(self, compiled: Compiled, folder: Path) -> None:
        self.compiled = compiled
        self.packs = PackStore([f"file://{folder}/packs"], cache=folder / "cache")
        self.compiler = FakeCompiler(compiled, self.packs)
        self.store, self.table = FakeStore(), RoutingTable()
        supply = EngineSupply(
            packs=self.packs, compiler=self.compiler, default=AUTO, options=EngineOptions(threads=1)
        )  # fmt: skip
        self.replica = Reconciler(
            replica="replica-0",
            store=self.store,
            table=self.table,
            load=make_loader(cache=folder / "cache", load=self._load, supply=supply),
            memory_file=folder / "state.json",
            heartbeat_interval_s=0.0,
            improvement=Improvement(has_better=supply.has_better, interval_s=0.05),
        )

    def _load(self, *, endpoint: str, info: ModelVersionInfo, folder: Path, wish: EngineWish) -> LoadedVersion:
        return load_version(
            endpoint=endpoint, info=info, folder=folder, options=EngineOptions(threads=1), wish=wish
        )  # fmt: skip

    def want(self, generation: int, engine: str = "") -> None:
        self.store.desired["pictures"] = DesiredEndpoint(
            name="pictures", model="pictures", generation=generation, engine=engine,
            traffic=(TrafficShare(version=1, weight=100),), versions=(self.compiled.info,),
        )  # fmt: skip

    def serving(self) -> str:
        route = self.table.routes.get("pictures")
        return route.versions[1].running.name if route and route.versions else ""

    def wait_for(self, engine: str) -> None:
        poll(lambda: self.serving() == engine, act=self.replica.step, deadline_s=40, what=engine)

    def told(self) -> tuple[ReplicaState, str, str]:
        self.replica.step()
        [row] = self.store.told["replica-0"]
        return row.state, row.engine, row.message


@pytest.fixture
def bench(compiled: Compiled, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(compiled, tmp_path)
    yield bench
    bench.replica.stop(5)


def test_a_replica_serves_at_once_and_changes_to_the_fastest_without_a_failed_request(bench: Bench) -> None:
    failures: list[BaseException] = []
    served: set[str] = set()
    is_over = threading.Event()
    service = PredictService(table=bench.table, recorder=NoRecorder(), metrics=NoMetrics())
    fastest = bench.compiled.pack.table.fastest(1)
    assert fastest is not None and not fastest.is_native

    def predict() -> None:
        while not is_over.is_set():
            try:
                answer = service.predict_blocking("pictures", inputs={"image": pictures()["image"][:2]})
                assert answer.outputs["probabilities"].shape == (2, 3)
                served.add(bench.serving())
            except Exception as error:  # noqa: BLE001 - whatever went wrong is the finding
                failures.append(error)

    bench.want(1)
    bench.wait_for("tensorflow")
    clients = [threading.Thread(target=predict) for _ in range(4)]
    for client in clients:
        client.start()
    bench.wait_for(fastest.engine)
    poll(lambda: len(served) == 2, act=bench.replica.step, what="answers from both engines")
    is_over.set()
    for client in clients:
        client.join(10)
    assert failures == []
    assert [order.artifact_digest for order in bench.compiler.orders][:1] == [bench.compiled.info.artifact_digest]
    assert bench.told() == (ReplicaState.READY, f"{fastest.engine}, 1 thread", "")


def test_a_pinned_engine_is_waited_for_while_the_present_one_serves(bench: Bench) -> None:
    bench.want(1, engine="tensorflow")
    bench.wait_for("tensorflow")
    bench.want(2, engine="onnxruntime")
    assert bench.told()[0] is ReplicaState.LOADING
    poll(lambda: "is being compiled" in bench.told()[2], what="the reason for the wait")
    assert bench.serving() == "tensorflow"
    bench.wait_for("onnxruntime")
    assert bench.told()[:2] == (ReplicaState.READY, "onnxruntime, 1 thread")


def test_a_pinned_engine_that_is_not_equal_is_said_and_the_present_one_goes_on(bench: Bench, tmp_path: Path) -> None:
    table = bench.compiled.pack.table
    rows = [replace(r, state=CandidateState.UNEQUAL, reason="off by 3") if r.engine == "litert" else r
            for r in table.candidates]  # fmt: skip
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "table.json").write_bytes(encode_table(replace(table, candidates=tuple(rows))))
    digest = bench.compiled.info.artifact_digest
    bench.packs.publish(tmp_path / "made", manifest=KERAS_MANIFEST, digest=digest, machine=machine_kind())
    bench.want(1, engine="tensorflow")
    bench.wait_for("tensorflow")
    bench.want(2, engine="litert")
    poll(lambda: bench.told()[0] is ReplicaState.FAILED, what="the failure")
    assert "engine 'litert' is pinned, but it is unequal: off by 3" in bench.told()[2]
    assert bench.serving() == "tensorflow"


def test_a_corrupt_pack_is_said_and_does_not_stop_the_version(bench: Bench) -> None:
    place = bench.compiler.publish()
    folder = Path(place.uri.removeprefix("file://"))
    (folder / "engines" / "onnxruntime" / "model.onnx").write_bytes(b"altered")
    bench.want(1)
    bench.wait_for("tensorflow")
    state, engine, message = bench.told()
    assert (state, engine) == (ReplicaState.READY, "tensorflow, 1 thread")
    assert "the engine pack is not usable" in message
    assert "is altered" in message


def test_a_compilation_that_failed_is_said_and_not_tried_again(bench: Bench) -> None:
    bench.compiler.error = "the disk is full"
    bench.want(1)
    bench.wait_for("tensorflow")
    poll(lambda: "could not be compiled: the disk is full" in bench.told()[2], what="the reason")
    assert bench.compiler.orders == []
