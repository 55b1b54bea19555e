"""What a request costs between its socket and the engine, in processor time, without any socket.

    python -m benchmarks.hot_path                       the table: each kind of body, with parts of the way switched off
    python -m benchmarks.hot_path --only binary-1 --profile     which functions of one kind take the time
    python -m benchmarks.hot_path --engine litert       with another engine than ONNX Runtime
    python -m benchmarks.hot_path --embedding 8         the model also computes an embedding, which is recorded (ONNX)

One process, as one HTTP worker is: codecs, routing, queue, engine, metrics and the recorder with its spool, all
with their real threads. So many clients at a time put the same body in and take the answer; the next
turn of the event loop puts in the next. The figures are microseconds of all the process's threads a request: with
nothing, and what metrics, capture and both add to it; and which share of what a process answers in a time they
take. Rounds of all four take turns, and the quickest quarter of each says its figure: so it holds on a busy machine,
where rates do not. HTTP and sockets are left out, so of a whole server's throughput the shares are smaller.
Machine code is used where it is built, as a server does; not with MACHINE_CODE=0, nor with --profile, which
would not see its functions.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.machine_code import loader
from benchmarks.bodies import HEADER_LENGTH, Body, encode
from benchmarks.machine import describe_machine
from benchmarks.model import EMBEDDING, INPUT, NAME, OUTPUT, make_weights, sample_rows, write_onnx

if TYPE_CHECKING:
    from aiplatform.artifacts import Manifest
    from inference.engines import Engine
    from inference.serving import PredictService, ServingRuntime

FORMS = {"json": "v1-json", "json-v2": "v2-json", "binary": "v2-binary"}
CASES = ("json-1", "json-v2-1", "binary-1", "json-32", "binary-32")
PARTS = ("nothing", "metrics", "capture", "both")
ROUNDS = 12
PIECES = 50  # of timing one function


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How one body is read, and how its answer is written."""

    decode: Callable[[Any], Any]  # of a signature; returns the request
    encode: Callable[[Any, Any], Any]


def main() -> None:
    """Print the table, or a profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", action="append", choices=CASES, help="one kind of body; may be repeated")
    add("--clients", type=int, default=64, help="requests at a time")
    add("--seconds", type=float, default=0.4, help="of each round")
    add("--rounds", type=int, default=ROUNDS, help="of each part; more on a busier machine")
    add("--engine", choices=("onnxruntime", "litert"), default="onnxruntime")
    add("--embedding", type=int, default=0, metavar="DIMENSIONS", help="of ONNX Runtime only; 0: none")
    add("--profile", action="store_true", help="print the functions that take most, with everything on")
    options = parser.parse_args()
    if options.embedding and options.engine != "onnxruntime":
        parser.error(f"--embedding is for --engine onnxruntime, not {options.engine}")
    is_compiled = use_machine_code(options)
    print(f"machine: {describe_machine()}, machine code: {'yes' if is_compiled else 'no'}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = scratch  # as in a worker; read when the client is imported
        folder = prepare_model(Path(scratch), options.engine, options.embedding)
        for case in options.only or CASES:
            form, _, rows = case.rpartition("-")
            measure_case(case, encode(FORMS[form], sample_rows(int(rows))), folder, options)


def use_machine_code(options: argparse.Namespace) -> bool:
    """Have this process run what a server would; say whether it does. Before anything compiled is imported."""
    is_wanted = os.environ.get("MACHINE_CODE", "1") != "0" and not options.profile
    return is_wanted and loader.install().is_used


def prepare_model(folder: Path, engine: str, dimensions: int) -> Path:
    """Write the classic CNN as the engine reads it."""
    if engine == "onnxruntime":
        write_onnx(folder / "model.onnx", make_weights(), dimensions=dimensions)
        return folder
    command = [sys.executable, "-c", _CONVERT, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode:
        sys.exit(f"the model could not be converted:\n{done.stderr[-2000:]}")
    return folder


_CONVERT = """
import sys
from pathlib import Path
from benchmarks.hot_path import manifest_of
from benchmarks.model import make_weights, sample_rows, write_saved_model
from inference.compiling.convert_tensorflow import to_litert
folder = Path(sys.argv[1])
write_saved_model(folder / "saved_model", make_weights(), sample_rows(2))
to_litert(folder / "saved_model", manifest_of(), folder)
"""


def manifest_of(dimensions: int = 0) -> Manifest:
    """Return what the artifact of the classic CNN says of itself; with `dimensions` it has an embedding."""
    from aiplatform.artifacts import Lineage, Manifest
    from aiplatform.tensors import DType, Signature, TensorSpec

    return Manifest(
        name=NAME,
        version=1,
        framework="onnx",
        model_format="onnx",
        task="image_classification",
        signature=Signature(
            inputs=(TensorSpec(name=INPUT, dtype=DType.FP32, shape=(-1, 28, 28, 1)),),
            outputs=(TensorSpec(name=OUTPUT, dtype=DType.FP32, shape=(-1, 10)),),
        ),
        embedding=TensorSpec(name=EMBEDDING, dtype=DType.FP32, shape=(-1, dimensions)) if dimensions else None,
        labels=tuple(map(str, range(10))),
        lineage=Lineage(
            run_id="", recipe="", parameters={}, data_uri="", data_fingerprint="", code_commit="", packages={}, seed=0
        ),
    )


def measure_case(case: str, body: Body, folder: Path, options: argparse.Namespace) -> None:
    """Print one kind of body's line, or its profile."""
    manifest = manifest_of(options.embedding)
    codec = codec_of(case, body)
    engine = open_the_engine(options.engine, folder, manifest)
    if options.profile:
        with serving(engine, manifest, "both", folder) as service:
            profile(lambda: run_load(service, codec, options.clients, 2.0))
        return
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    for number in range(options.rounds):
        for part in PARTS if number % 2 else PARTS[::-1]:
            with serving(engine, manifest, part, folder) as service:
                found[part].append(run_load(service, codec, options.clients, options.seconds))
    best = {part: quickest_quarter(costs) for part, costs in found.items()}
    rows = next(iter(codec.decode(manifest.signature).inputs.values()))
    bare = best["nothing"]
    print(
        f"{case:10} {len(body.content):8} bytes  bare {bare:7.1f}  "
        + "  ".join(f"{part} {best[part] - bare:+6.1f} ({1 - bare / best[part]:6.1%})" for part in PARTS[1:])
        + f"   alone: {alone(codec, manifest)}  engine {cost_of(lambda: engine.run({INPUT: rows})):6.1f} a call"
    )


def quickest_quarter(costs: list[float]) -> float:
    """Return the mean of the least quarter, at least one."""
    some = sorted(costs)[: max(1, len(costs) // 4)]
    return sum(some) / len(some)


def codec_of(case: str, body: Body) -> Codec:
    """Return the platform's own reading and writing of a kind of body."""
    from inference.protocols import open_inference, tf_serving

    content = body.content
    if case.startswith("json-") and "v2" not in case:
        return Codec(
            decode=lambda signature: tf_serving.decode_predict(content, signature), encode=tf_serving.encode_predict
        )
    head = int(body.headers[HEADER_LENGTH]) if HEADER_LENGTH in body.headers else None
    return Codec(
        decode=lambda signature: open_inference.decode_infer(content, signature, head_size=head),
        encode=open_inference.encode_infer,
    )


def open_the_engine(name: str, folder: Path, manifest: Manifest) -> Engine:
    """Return the engine on one thread, as each of two workers on two cores has it."""
    from inference.engines import EngineKind, EngineOptions, open_engine

    return open_engine(EngineKind(name), folder, manifest, EngineOptions(threads=1, workers=2))


@contextmanager
def serving(engine: Engine, manifest: Manifest, part: str, folder: Path) -> Iterator[PredictService]:
    """Serve a model in this process, with metrics, capture, both or neither."""
    from aiplatform.hot_metrics import flush_metrics
    from inference.metrics import PrometheusMetrics
    from inference.recording.recorder import PredictionRecorder
    from inference.recording.spool import Spool
    from inference.recording_api import NoMetrics, NoRecorder
    from inference.scheduler import BatchLimits
    from inference.serving import ServingOptions, ServingRuntime

    limits = BatchLimits(inline_ms=4.0)
    runtime = ServingRuntime(
        ServingOptions(
            limits=limits, deadline_s=10.0, max_deadline_s=10.0, max_body_bytes=2**26, max_image_pixels=2**20
        )
    )
    spool = Spool(folder / "spool", replica="hot-path", max_bytes=2**28, on_drop=_complain)
    recorder = PredictionRecorder(replica="hot-path", spool=spool, ship=_refuse, on_drop=_complain)
    is_captured = part in ("capture", "both")
    runtime.connect(
        recorder=recorder if is_captured else NoRecorder(),
        metrics=PrometheusMetrics() if part in ("metrics", "both") else NoMetrics(),
    )
    _fill(runtime, engine, manifest, limits)
    recorder.start()
    gc.collect()
    gc.freeze()
    try:
        yield runtime.service
    finally:
        recorder.stop(30.0)
        flush_metrics()
        for file in spool.list_files():
            file.unlink()
        gc.unfreeze()


def _refuse(order: Any) -> Any:
    sys.exit(f"the disk refused {len(order.batches)} batches")


def _complain(rows: int, reason: str) -> None:
    print(f"{rows} rows were not recorded: {reason}", file=sys.stderr)


def _fill(runtime: ServingRuntime, engine: Engine, manifest: Manifest, limits: Any) -> None:
    from aiplatform.contracts.training import ModelVersionInfo
    from inference.loaded import LoadedVersion
    from inference.routing_table import Route
    from inference.scheduler import BatchQueue

    info = ModelVersionInfo(
        model=NAME, version=1, artifact_uri="file:///none", artifact_digest="sha256:0", framework="onnx",
        task=manifest.task, run_id="", created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    queue = BatchQueue(
        endpoint=NAME, version=1, engine=engine, signature=manifest.signature, limits=limits,
        metrics=runtime.service.metrics, call_ms={1: 0.03, 8: 0.2, 32: 0.7},
    )  # fmt: skip
    loaded = LoadedVersion(endpoint=NAME, info=info, manifest=manifest, engine=engine, queue=queue)
    runtime.table.swap({NAME: Route(endpoint=NAME, versions={1: loaded}, weights={1: 100})})


def run_load(service: PredictService, codec: Codec, clients: int, seconds: float) -> float:
    """Keep so many requests under way for a time; return microseconds of processor time a request."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_load(service, codec, clients, seconds))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _load(service: PredictService, codec: Codec, clients: int, seconds: float) -> float:
    from aiplatform.hot_metrics import MetricsFlusher

    flusher = MetricsFlusher()
    await flusher.start()
    load = _Load(service, codec)
    await load.run(clients, 0.1)
    load.answered = 0
    began_s = time.process_time()
    await load.run(clients, seconds)
    recorder: Any = service.recorder
    if hasattr(recorder, "flush"):
        recorder.flush()  # what was captured in this time is also paid in this time
    cost_us = (time.process_time() - began_s) / load.answered * 1e6
    await flusher.stop()
    return cost_us


class _Load:
    """Clients that put a body in, wait for the answer, and put it in again."""

    def __init__(self, service: PredictService, codec: Codec) -> None:
        self._service = service
        self._codec = codec
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._until = 0.0
        self._is_over = asyncio.Event()
        self.answered = 0

    async def run(self, clients: int, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._under_way = clients
        self._is_over.clear()
        for _ in range(clients):
            self._loop.call_soon(self._ask)
        await self._is_over.wait()

    def _ask(self) -> None:
        if time.monotonic() >= self._until:
            self._under_way -= 1
            if not self._under_way:
                self._is_over.set()
            return
        request: list[Any] = []

        def read(manifest: Manifest) -> Any:
            request.append(self._codec.decode(manifest.signature))
            return request[0].inputs

        def take(answer: Any) -> None:
            self._answer(request[0], answer)

        self._service.start(NAME, inputs=read, take=take)

    def _answer(self, request: Any, answer: Any) -> None:
        from inference.protocols.messages import InferResponse

        if isinstance(answer, Exception):
            raise answer
        response = InferResponse(
            model=NAME, version=answer.version, prediction_id=answer.prediction_id, outputs=answer.outputs,
            labels=answer.manifest.labels,
        )  # fmt: skip
        self._codec.encode(request, response)
        self.answered += 1
        self._loop.call_soon(self._ask)


def alone(codec: Codec, manifest: Manifest) -> str:
    """Return what reading and writing cost by themselves."""
    from inference.protocols.messages import InferResponse

    request = codec.decode(manifest.signature)
    rows = len(next(iter(request.inputs.values())))
    outputs = {OUTPUT: np.random.default_rng(0).dirichlet(np.ones(10), size=rows).astype(np.float32)}
    response = InferResponse(model=NAME, version=1, prediction_id="0" * 32, outputs=outputs)
    decoding = cost_of(lambda: codec.decode(manifest.signature))
    return f"decode {decoding:6.1f}  encode {cost_of(lambda: codec.encode(request, response)):5.1f}"


def cost_of(call: Callable[[], Any], *, number: int = 200) -> float:
    """Return the microseconds of one call in the best of some rounds."""
    found = []
    for _ in range(PIECES):
        began = time.perf_counter()
        for _ in range(number):
            call()
        found.append((time.perf_counter() - began) / number * 1e6)
    return min(found)


def profile(call: Callable[[], Any]) -> None:
    """Print the functions of the event loop's thread that took most."""
    profiler = cProfile.Profile()
    profiler.runcall(call)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
