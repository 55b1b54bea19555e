"""Who refuses a request reads its body to the end, or says that the connection will close."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from aiplatform.http import asgi_body
from aiplatform.http.asgi_body import REST_BYTES, BodyWatch, header, header_map, read_body


class Body:
    """A `receive` that gives chunks, then waits for a disconnect that never comes."""

    def __init__(self, *chunks: bytes, is_whole: bool = True) -> None:
        self._events = [
            {"type": "http.request", "body": chunk, "more_body": i < len(chunks) - 1 or not is_whole}
            for i, chunk in enumerate(chunks)
        ]

    async def __call__(self) -> MutableMapping[str, Any]:
        if not self._events:
            await asyncio.Event().wait()
        return self._events.pop(0)


def test_the_rest_of_a_body_is_read_to_its_end() -> None:
    async def main() -> bool:
        watched = BodyWatch(Body(b"a", b"b", b"c"))
        await watched()
        assert not watched.is_whole
        return await watched.finish()

    assert asyncio.run(main())


def test_a_body_that_was_read_is_not_waited_for_again() -> None:
    async def main() -> bool:
        watched = BodyWatch(Body(b"a", b"b"))
        assert await read_body(watched) == b"ab"
        return await watched.finish()

    assert asyncio.run(main())


def test_a_body_too_long_or_too_slow_is_given_up(monkeypatch: Any) -> None:
    async def main() -> list[bool]:
        monkeypatch.setattr(asgi_body, "REST_TIMEOUT_S", 0.01)
        slow = BodyWatch(Body(b"a", is_whole=False))
        long = BodyWatch(Body(b"x" * REST_BYTES, b"y" * REST_BYTES, b"z"))
        return [await slow.finish(), await long.finish()]

    assert asyncio.run(main()) == [False, False]


def test_the_first_of_two_equal_headers_counts() -> None:
    scope: dict[str, Any] = {"headers": [(b"a", b"1"), (b"b", b"\xe4"), (b"a", b"2")]}
    assert (header(scope, "A"), header(scope, "B"), header(scope, "C")) == ("1", "ä", "")
    assert header_map(scope) is header_map(scope), "made once"
