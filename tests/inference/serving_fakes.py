"""A model, an engine and an ASGI client written by hand, for tests of the data plane."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import ImageInput, Lineage, Manifest, Padding, encode_manifest
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.http.lane import Exchange, LaneHandler
from aiplatform.http.lane.head import parse_head
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines import Arrays
from inference.loaded import LoadedVersion
from inference.recording_api import NoMetrics, PredictionEvent
from inference.routing_table import Route
from inference.scheduler import BatchLimits, BatchQueue
from inference.serving import ServingOptions, ServingRuntime

POISON = 666.0


def spec(name: str, dtype: DType = DType.FP32, shape: tuple[int, ...] = (-1, 2)) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


DOUBLING = Signature(inputs=(spec("x"),), outputs=(spec("y"),))


class FakeEngine:
    """Doubles x into y; counts batches; fails on POISON; waits while its gate is closed."""

    name = "fake"
    releases_gil = True
    concurrency = 1

    def __init__(self, *, factor: float = 2.0, delay_s: float = 0.0, is_open: bool = True) -> None:
        self.factor = factor
        self.delay_s = delay_s
        self.batches: list[int] = []
        self.is_closed = False
        self.began = threading.Event()
        self.gate = threading.Event()
        if is_open:
            self.gate.set()

    def run(self, inputs: Arrays) -> Arrays:
        assert not self.is_closed, "a closed engine was called"
        x = inputs["x"]
        self.batches.append(len(x))
        self.began.set()
        assert self.gate.wait(20)
        if self.delay_s:
            time.sleep(self.delay_s)
        if (x == POISON).any():
            raise RuntimeError("poison\nwith a long trace")
        return {"y": x * np.float32(self.factor)}

    def close(self) -> None:
        self.is_closed = True


class CountingMetrics:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.predictions: list[tuple[str, int, int]] = []
        self.batches: list[int] = []

    def count_prediction(self, *, endpoint: str, version: int, http_status: int, latency_s: float) -> None:
        self.predictions.append((endpoint, version, http_status))

    def observe_batch(self, *, endpoint: str, version: int, rows: int) -> None:
        self.batches.append(rows)

    def set_queue_depth(self, *, endpoint: str, version: int, rows: int) -> None:
        pass


class ListRecorder:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[PredictionEvent] = []

    def record(self, event: PredictionEvent) -> None:
        self.events.append(event)


def make_manifest(
    signature: Signature = DOUBLING,
    *,
    name: str = "double",
    version: int = 1,
    framework: str = "tensorflow",
    model_format: str = "saved_model",
    image: ImageInput | None = None,
) -> Manifest:
    lineage = Lineage(
        run_id="r", recipe="none", parameters={}, data_uri="", data_fingerprint="", code_commit="", packages={}, seed=0
    )
    return Manifest(
        name=name,
        version=version,
        framework=framework,
        model_format=model_format,
        task="regression",
        signature=signature,
        lineage=lineage,
        image=image,
    )


def make_info(*, name: str = "double", version: int = 1) -> ModelVersionInfo:
    return ModelVersionInfo(
        model=name,
        version=version,
        artifact_uri=f"file:///{name}/{version}",
        artifact_digest="sha256:0",
        framework="tensorflow",
        task="regression",
        run_id="r",
        created_at="2026-01-01T00:00:00Z",
    )


def make_queue(
    engine: Any, *, signature: Signature = DOUBLING, padding: Sequence[Padding] = (), **limits: Any
) -> BatchQueue:
    return BatchQueue(
        endpoint="double",
        version=1,
        engine=engine,
        signature=signature,
        limits=BatchLimits(**limits),
        metrics=NoMetrics(),
        padding=padding,
    )


def make_loaded(engine: Any, *, version: int = 1, manifest: Manifest | None = None, **limits: Any) -> LoadedVersion:
    manifest = manifest or make_manifest(version=version)
    return LoadedVersion(
        endpoint=manifest.name,
        info=make_info(name=manifest.name, version=version),
        manifest=manifest,
        engine=engine,
        queue=make_queue(engine, signature=manifest.signature, padding=manifest.padding, **limits),
    )


def make_runtime(
    *routes: Route, max_body_bytes: int = 1 << 20, deadline_s: float = 10.0, routing_key_header: str = ""
) -> ServingRuntime:
    serving = ServingRuntime(
        ServingOptions(
            limits=BatchLimits(),
            deadline_s=deadline_s,
            max_deadline_s=60.0,
            max_body_bytes=max_body_bytes,
            max_image_pixels=1_000_000,
            routing_key_header=routing_key_header,
        )
    )
    serving.table.swap({route.endpoint: route for route in routes})
    return serving


def route_of(*versions: LoadedVersion, weights: dict[int, int] | None = None, **more: Any) -> Route:
    loaded = {version.version: version for version in versions}
    shares = weights if weights is not None else dict.fromkeys(loaded, 50)
    return Route(endpoint=versions[0].endpoint, versions=loaded, weights=shares, **more)


def rows(*values: float) -> Arrays:
    return {"x": np.array([[value, value] for value in values], dtype=np.float32)}


def write_artifact(
    folder: Path, manifest: Manifest, inputs: Arrays, outputs: Arrays, save: Callable[[Path], None] = lambda _: None
) -> Path:
    with stage_artifact(str(folder)) as staged:
        (staged.folder / "model").mkdir()
        save(staged.folder / "model")
        staged.write_warmup(inputs, outputs)
        staged.commit(manifest)
    return folder


def rewrite_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / "manifest.json").write_bytes(encode_manifest(manifest))


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.002)


@dataclass
class Reply:
    """What an ASGI application answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class AsgiClient:
    """Calls an ASGI application without a server."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self._application = application

    async def call(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        headers: dict[str, str] | None = None,
        gone: asyncio.Event | None = None,
        state: dict[str, Any] | None = None,
    ) -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        half = len(raw) // 2
        events = [
            {"type": "http.request", "body": raw[:half], "more_body": True},
            {"type": "http.request", "body": raw[half:], "more_body": False},
        ]
        reply = Reply()

        async def receive() -> dict[str, Any]:
            if events:
                return events.pop(0)
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(event: dict[str, Any]) -> None:
            if event["type"] == "http.response.start":
                reply.status = event["status"]
                reply.headers = {k.decode(): v.decode() for k, v in event["headers"]}
            else:
                reply.body += event["body"]

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
            "state": state or {},
        }
        await self._application(scope, receive, send)
        return reply

    def request(self, method: str, path: str, body: Any = b"", **more: Any) -> Reply:
        return asyncio.run(self.call(method, path, body, **more))


class LaneClient(AsgiClient):
    """The same requests on the lane, where it takes them; else to the application, as a connection does."""

    def __init__(self, lane: LaneHandler, application: Callable[..., Awaitable[None]]) -> None:
        super().__init__(application)
        self._lane = lane
        self.taken = 0

    async def call(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        headers: dict[str, str] | None = None,
        gone: asyncio.Event | None = None,
        state: dict[str, Any] | None = None,
    ) -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        plan = self._plan(method, path, raw, headers or {})
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        exchange = Exchange(_ReplyLine(answered))
        if plan is None or not self._lane.start(plan, raw, exchange):
            return await super().call(method, path, body, headers=headers, gone=gone, state=state)
        self.taken += 1
        leaving: asyncio.Future[Any] = asyncio.ensure_future((gone or asyncio.Event()).wait())
        waited: list[asyncio.Future[Any]] = [answered, leaving]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                exchange.leave()
            return answered.result() if answered.done() else Reply()
        finally:
            leaving.cancel()
            if not answered.done():  # cancelled: so goes a connection
                exchange.leave()

    def _plan(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
        fields = {"Host": "h", **headers, "Content-Length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        head = parse_head("\r\n".join(lines).encode())
        return None if head is None else self._lane.plan(head)


class _ReplyLine:
    """A connection that turns what is written into a reply."""

    def __init__(self, answered: asyncio.Future[Reply]) -> None:
        self._answered = answered

    def finish_exchange(self, head: bytes, body: bytes) -> None:
        status_line, *lines = head.decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        self._answered.set_result(Reply(int(status_line.split()[1]), headers, body))
