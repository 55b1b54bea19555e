"""A quick client's next request is answered, however large it is."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from aiplatform.http.keep_alive import MAX_TAIL_BYTES, tail_keeping

APPLICATION = """
async def application(scope, receive, send):
    size = 0
    more = True
    while more:
        event = await receive()
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    answer = str(size).encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
"""
CONFIGURATION = """
from aiplatform.http.keep_alive import keep_long_tails

def post_fork(server, worker):
    assert keep_long_tails()
"""
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("gunicorn_h1c", reason="without the C parser there is nothing to mend")
    (tmp_path / "echo_size.py").write_text(APPLICATION)
    (tmp_path / "conf.py").write_text(CONFIGURATION)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["-m", "gunicorn", "-c", str(tmp_path / "conf.py"), "-k", "asgi", "--asgi-lifespan", "off", "-b", bind]
    root = Path(__file__).resolve().parents[2]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--no-control-socket", "--chdir", str(tmp_path), "echo_size:application"],
            env={"PYTHONPATH": f"{root}:{tmp_path}", "PATH": "/usr/bin:/bin"},
            stderr=log,
        )
    try:
        until = time.monotonic() + 30
        while not _answers(bind):
            assert process.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
        yield f"http://{bind}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(bind: str) -> bool:
    try:
        return httpx.get(f"http://{bind}", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _send_many(address: str, size: int) -> int:
    with httpx.Client(trust_env=False) as client:
        return sum(client.post(address, content=b"[" * size).text == str(size) for _ in range(400))


def test_no_large_request_on_a_kept_connection_is_dropped(address: str) -> None:
    with ThreadPoolExecutor(3) as clients:
        answered = list(clients.map(_send_many, [address] * 3, [100_000, 70_000, 300_000]))
    assert answered == [400, 400, 400]


def test_the_tail_is_kept_whole_and_bounded() -> None:
    parser_class = pytest.importorskip("gunicorn_h1c").H1CProtocol
    events: list[str] = []

    def note(event: str) -> bool:
        events.append(event)
        return False

    parser = tail_keeping(parser_class)(
        on_headers_complete=lambda: note("headers"),
        on_body=lambda chunk: None,
        on_message_complete=lambda: note("complete"),
    )
    parser.feed(HEAD + b"[" * 100_000)
    following = HEAD + b"(" * 100_000
    parser.feed(following[:70_000])
    parser.feed(following[70_000:])
    assert events == ["headers", "complete"]
    assert parser.remaining() == following
    assert not parser.remaining_truncated
    parser.reset()
    parser.feed(following)
    assert events == ["headers", "complete"] * 2
    parser.feed(b"x" * (MAX_TAIL_BYTES + 1))
    assert parser.remaining_truncated, "one connection cannot fill the memory"
