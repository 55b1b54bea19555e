"""A careful FastAPI: orjson both ways, no Pydantic on the hot path, the model called in the loop."""

from __future__ import annotations

import engine
import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
predict = engine.load() if __name__ != "__main__" else None


@app.get("/ready")
async def ready() -> dict[str, bool]:
    """Say that the worker has its model."""
    return {"ready": True}


@app.post("/predict")
async def predict_json(request: Request) -> Response:
    """Answer {"instances": ...} with {"predictions": ...}."""
    rows = np.asarray(orjson.loads(await request.body())["instances"], np.float32)
    answer = orjson.dumps({"predictions": predict(rows)}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(answer, media_type="application/json")


@app.post("/predict_raw")
async def predict_raw(request: Request) -> Response:
    """Answer raw little-endian floats with raw little-endian floats."""
    rows = np.frombuffer(await request.body(), np.float32).reshape(-1, *engine.ROW)
    return Response(predict(rows).tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    uvicorn.run(
        "serve:app",
        host="127.0.0.1",
        port=engine.HTTP_PORT,
        workers=engine.WORKERS,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
