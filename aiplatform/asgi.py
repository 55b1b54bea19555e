"""The application that gunicorn serves: the predict routes first, Django for all the rest.

A prediction passes gateway policy (if this process is a gateway), then the inference app's own
ASGI application; no Django middleware, no database. Lifespan starts what apps announced.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import cast

import django
from django.conf import settings
from django.core.asgi import get_asgi_application

from aiplatform.http.closing import close_when_leaving
from aiplatform.http.lane.protocol import use_lane
from aiplatform.http.succession import succession
from aiplatform.predict_routes import build_lane, build_predict_chain, is_predict_path
from aiplatform.rpc.chain import grpc_lifespans
from aiplatform.wiring import AsgiApplication, Receive, Scope, Send, wiring

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")


class Application:
    """Sends each request to the predict chain or to Django, and runs the lifespan."""

    def __init__(self, *, predict: AsgiApplication | None, others: AsgiApplication) -> None:
        self._predict = predict
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _run_lifespan(receive, send)
            return
        if scope["type"] == "http" and self._predict is not None and is_predict_path(scope["path"]):
            await self._predict(scope, receive, send)
        else:
            await self._others(scope, receive, close_when_leaving(send) if scope["type"] == "http" else send)


async def _run_lifespan(receive: Receive, send: Send) -> None:
    await receive()  # startup
    parts = [*wiring.lifespans, *grpc_lifespans()]  # gRPC comes last and goes first: it needs the others
    try:
        for part in parts:
            await part.start()
    except Exception as error:  # whatever stops the start must reach the server's log
        await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
        raise
    await send({"type": "lifespan.startup.complete"})
    succession.note_serving()
    await receive()  # shutdown
    for part in reversed(parts):
        await part.stop()
    await send({"type": "lifespan.shutdown.complete"})


def build_application() -> Application:
    """Return the application for this process's roles."""
    django.setup(set_prefix=False)
    import_module(settings.ROOT_URLCONF)  # all views and pages: the first request shall not wait for them
    use_lane(build_lane() if settings.PREDICT_LANE else None)
    return Application(predict=build_predict_chain(), others=cast(AsgiApplication, get_asgi_application()))


application = build_application()
