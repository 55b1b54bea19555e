"""MLServer: two inference workers and adaptive batching; writes its two settings files and starts it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import engine

SERVER = {
    "host": "127.0.0.1",
    "http_port": engine.HTTP_PORT,
    "grpc_port": engine.GRPC_PORT,
    "metrics_endpoint": None,
    "parallel_workers": engine.WORKERS,
    "debug": False,
    "gzip_enabled": False,
    "logging_settings": {
        "version": 1,
        "disable_existing_loggers": True,
        "root": {"level": "WARNING", "handlers": []},
    },
}
MODEL = {
    "name": engine.NAME,
    "implementation": "cnn_runtime.CnnRuntime",
    "max_batch_size": engine.MAX_BATCH_ROWS,
    "max_batch_time": 0.001,
    "inputs": [{"name": engine.INPUT, "datatype": "FP32", "shape": [-1, *engine.ROW]}],
    "outputs": [{"name": engine.OUTPUT, "datatype": "FP32", "shape": [-1, engine.CLASSES]}],
}

if __name__ == "__main__":
    folder = Path(os.environ["BENCH_SCRATCH"], "mlserver")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(SERVER))
    (folder / "model-settings.json").write_text(json.dumps(MODEL))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    os.chdir(folder)
    mlserver = Path(sys.executable).parent / "mlserver"
    os.execv(mlserver, [str(mlserver), "start", str(folder)])
