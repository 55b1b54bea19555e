"""The arbiter's sockets: which worker gets which, and that what connects meanwhile waits."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc.aio
import pytest

from aiplatform.rpc.listening import HeldListeners, listen_on
from aiplatform.rpc.server import CallServer
from tests.aiplatform.rpc.support import INFER, Echo, run


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_a_new_worker_takes_the_place_of_one_that_has_gone() -> None:
    held = HeldListeners()
    assert held.choose([]) is None
    held.open(f"127.0.0.1:{free_port()}", 3)
    assert [held.choose([]), held.choose([0]), held.choose([0, 1])] == [0, 1, 2]
    assert held.choose([0, 2]) == 1
    assert held.choose([0, 1, 2]) == 0  # a reload: the old ones still live
    held.keep_own(2)
    own = held.take_own()
    assert own is not None
    own.close()
    assert held.take_own() is None
    assert held.choose([]) is None


@pytest.mark.parametrize("bind", ["127.0.0.1:x", "127.0.0.1:99999", "nowhere.invalid:1"])
def test_an_address_that_is_none_is_an_error(bind: str) -> None:
    with pytest.raises((OSError, ValueError, OverflowError)):
        listen_on(bind)


def test_a_call_made_between_two_workers_waits_for_the_second() -> None:
    async def script() -> None:
        held = listen_on("127.0.0.1:0")
        address = f"127.0.0.1:{held.getsockname()[1]}"
        first = CallServer(Echo(), bind="", max_message_bytes=1000, listening=held.dup())
        await first.start()
        await first.stop(1)
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        async with grpc.aio.insecure_channel(address, options) as channel:
            ask: Any = channel.unary_unary(INFER)
            call = asyncio.create_task(_answer(ask))
            await asyncio.sleep(0.3)
            assert not call.done()
            second = CallServer(Echo(), bind="", max_message_bytes=1000, listening=held.dup())
            await second.start()
            assert await call == b"answer to x"
        await second.stop(1)
        held.close()

    run(script)


async def _answer(ask: Any) -> bytes:
    answer: bytes = await ask(b"x", timeout=20)
    return answer
