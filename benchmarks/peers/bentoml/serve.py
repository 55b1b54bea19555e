"""BentoML: a service of two workers with adaptive batching, and a raw route mounted beside it."""

from __future__ import annotations

import bentoml
import engine
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

loaded = {}


async def predict_raw(request: Request) -> Response:
    """Answer raw little-endian floats with raw little-endian floats."""
    rows = np.frombuffer(await request.body(), np.float32).reshape(-1, *engine.ROW)
    return Response(loaded["predict"](rows).tobytes(), media_type="application/octet-stream")


@bentoml.service(
    name="cnn",
    workers=engine.WORKERS,
    traffic={"timeout": 30},
    http={"host": "127.0.0.1", "port": engine.HTTP_PORT},
    metrics={"enabled": False},
    tracing={"sample_rate": 0.0},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(Starlette(routes=[Route("/raw", predict_raw, methods=["POST"])]), path="/mounted")
class Cnn:
    """The model."""

    def __init__(self) -> None:
        self.predict_rows = loaded["predict"] = engine.load()

    @bentoml.api(batchable=True, max_batch_size=engine.MAX_BATCH_ROWS, max_latency_ms=1000)
    def predict(self, instances: np.ndarray) -> np.ndarray:
        """Answer a batch of rows."""
        return self.predict_rows(instances.astype(np.float32, copy=False))
