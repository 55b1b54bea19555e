"""A file for download in pieces, from a synchronous or an asynchronous server, never whole in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def stream_file(
    request: HttpRequest, chunks: Iterator[bytes], *, name: str, content_type: str = "text/plain; charset=utf-8"
) -> StreamingHttpResponse:
    """Return the pieces as an attachment of that name."""
    body = _in_a_thread(chunks) if isinstance(request, ASGIRequest) else chunks
    answer = StreamingHttpResponse(body, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


async def _in_a_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    next_chunk = sync_to_async(lambda: next(chunks, None))
    while (chunk := await next_chunk()) is not None:
        yield chunk
