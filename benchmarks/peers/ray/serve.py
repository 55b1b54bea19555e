"""Ray Serve: two replicas that batch, behind its HAProxy front."""

from __future__ import annotations

import os
import signal

import engine
import numpy as np
import orjson
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(
    num_replicas=engine.WORKERS,
    max_ongoing_requests=256,
    ray_actor_options={"num_cpus": 1},
    logging_config={"enable_access_log": False},
)
class Cnn:
    """The model."""

    def __init__(self) -> None:
        self.predict_rows = engine.load()

    @serve.batch(max_batch_size=engine.MAX_BATCH_ROWS, batch_wait_timeout_s=0.0)
    async def predict(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Answer the rows of several requests at once."""
        answers = self.predict_rows(np.concatenate(inputs))
        return np.split(answers, np.cumsum([len(rows) for rows in inputs])[:-1])

    async def __call__(self, request: Request) -> Response:
        """Answer {"instances": ...}, or raw little-endian floats."""
        body = await request.body()
        if request.headers.get("content-type") == "application/octet-stream":
            rows = np.frombuffer(body, np.float32).reshape(-1, *engine.ROW)
            return Response((await self.predict(rows)).tobytes(), media_type="application/octet-stream")
        rows = np.asarray(orjson.loads(body)["instances"], np.float32)
        answer = orjson.dumps({"predictions": await self.predict(rows)}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(answer, media_type="application/json")


if __name__ == "__main__":
    ray.init(
        num_cpus=engine.WORKERS + 1, include_dashboard=False, log_to_driver=False, _temp_dir=os.environ["BENCH_SCRATCH"]
    )
    serve.start(http_options={"host": "127.0.0.1", "port": engine.HTTP_PORT})
    serve.run(Cnn.bind(), name="cnn", route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
