"""Events over HTTP (`text/event-stream`) from the asynchronous server: a listener costs no thread while it waits.

A stream ends with its run, after ten minutes (the browser opens another, which goes on where this one ended), and when
the worker is to end. The number of listeners of a process is bounded by TRAINING_LISTENERS.
Source: HTML Standard, Server-sent events.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from aiplatform.http.closing import leaving
from training.live import Event, RunFeed

CONTENT_TYPE = "text/event-stream"
LOOK_EVERY_S = 1.0
LONGEST_S = 600.0
PING_EVERY_S = 15.0
RETRY_MS = 2000


class Listeners:
    """How many streams this process has open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count a listener for as long as it listens."""
        with self._lock:
            self.count += 1
        try:
            yield
        finally:
            with self._lock:
                self.count -= 1


listeners = Listeners()


def stream_run(request: HttpRequest, feed: RunFeed) -> HttpResponseBase:
    """Return a feed as a stream; 503 if too many listen, 204 (do not come again) where the server is synchronous.

    A page that gets neither asks by itself every now and then.
    """
    if not isinstance(request, ASGIRequest):
        return HttpResponse(status=204)
    limit = settings.TRAINING_LISTENERS
    if listeners.count >= limit:
        text = f"{listeners.count} pages listen to this process already; TRAINING_LISTENERS={limit}\n"
        return HttpResponse(text, status=503, content_type="text/plain", headers={"Retry-After": "10"})
    answer = StreamingHttpResponse(feed_frames(feed), content_type=CONTENT_TYPE)
    answer["Cache-Control"] = "no-cache"
    answer["X-Accel-Buffering"] = "no"  # a proxy must not collect it
    return answer


async def feed_frames(
    feed: RunFeed, *, look_every_s: float = LOOK_EVERY_S, longest_s: float = LONGEST_S
) -> AsyncIterator[bytes]:
    """Yield a feed's events until the run has ended, the time is up or the worker is to end."""
    with listeners.one_more():
        until_s = time.monotonic() + longest_s
        spoken_s = time.monotonic()
        yield f"retry: {RETRY_MS}\n\n".encode()
        try:
            while time.monotonic() < until_s and not leaving.has_begun:
                events = await sync_to_async(_look)(feed)
                for event in events:
                    yield encode_event(event)
                if events and events[-1].name == "end":
                    return
                if events:
                    spoken_s = time.monotonic()
                elif time.monotonic() - spoken_s > PING_EVERY_S:
                    spoken_s = time.monotonic()
                    yield b": still here\n\n"
                await asyncio.sleep(look_every_s)
        finally:
            await sync_to_async(_let_go)()


def encode_event(event: Event) -> bytes:
    """Return an event as it is sent; its data is JSON on one line."""
    name = f"id: {event.id}\n" if event.id else ""
    return f"{name}event: {event.name}\ndata: {json.dumps(event.data)}\n\n".encode()


def _look(feed: RunFeed) -> list[Event]:
    for connection in _free_connections():
        connection.close_if_unusable_or_obsolete()
    return feed.look()


def _let_go() -> None:
    """Give back the connection of the thread that looked."""
    for connection in _free_connections():
        connection.close()


def _free_connections() -> list[BaseDatabaseWrapper]:
    """Return this thread's connections that no transaction of a caller is on."""
    return [found for found in connections.all(initialized_only=True) if not found.in_atomic_block]
