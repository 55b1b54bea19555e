"""A gRPC server in the test's own event loop, and a client of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np

from aiplatform.rpc.calls import V2_SERVICE, CallApplication
from aiplatform.rpc.server import CallServer
from inference.protocols.protos.open_inference_pb2 import ModelInferRequest, ModelInferResponse

INFER = f"{V2_SERVICE}ModelInfer"


class Caller:
    """Sends unary calls of bytes to one address."""

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self.channel = channel
        self.address = address
        self.trailers: dict[str, Any] = {}

    def unary(self, method: str) -> Any:
        return self.channel.unary_unary(method)

    async def ask(self, method: str, body: bytes = b"", *, timeout_s: float | None = 10, **metadata: Any) -> bytes:
        pairs = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
        call: Any = self.unary(method)(body, timeout=timeout_s, metadata=pairs)
        answer: bytes = await call
        self.trailers = dict(await call.trailing_metadata())
        return answer

    async def refused(self, method: str, body: bytes = b"", **more: Any) -> tuple[str, str, dict[str, str]]:
        """Return status, message and trailing metadata of a call that fails."""
        try:
            await self.ask(method, body, **more)
        except grpc.aio.AioRpcError as error:
            trailers = {str(k): str(v) for k, v in (error.trailing_metadata() or ())}
            return error.code().name, error.details() or "", trailers
        raise AssertionError(f"{method} was answered")


@asynccontextmanager
async def served(application: CallApplication, *, max_message_bytes: int = 1 << 20) -> AsyncIterator[Caller]:
    """Serve an application on a free port; give a caller."""
    server = CallServer(application, bind="127.0.0.1:0", max_message_bytes=max_message_bytes)
    await server.start()
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        yield Caller(channel, f"127.0.0.1:{server.port}")
    await server.stop(1)


def run(script: Callable[[Caller], Coroutine[Any, Any, Any]], application: CallApplication, **options: Any) -> Any:
    """Run a script of calls against an application."""

    async def go() -> Any:
        async with served(application, **options) as caller:
            return await script(caller)

    return asyncio.run(go())


def infer_request(*values: float, model: str = "double", version: str = "", request_id: str = "") -> bytes:
    """Return a raw ModelInfer request for the doubling model."""
    message = ModelInferRequest(model_name=model, model_version=version, id=request_id)
    message.inputs.add(name="x", datatype="FP32", shape=[len(values), 2])
    message.raw_input_contents.append(np.array([[v, v] for v in values], dtype=np.float32).tobytes())
    return message.SerializeToString()


def inferred(answer: bytes) -> ModelInferResponse:
    """Return the message of an answer."""
    return ModelInferResponse.FromString(answer)
