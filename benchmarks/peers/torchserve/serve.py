"""TorchServe: writes a model store and its settings, and becomes the server (it needs Java)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import engine

HERE = Path(__file__).parent
CONFIG = """inference_address=http://127.0.0.1:{http}
management_address=http://127.0.0.1:{management}
metrics_address=http://127.0.0.1:{metrics}
grpc_inference_port={grpc}
grpc_management_port={grpc_management}
enable_envvars_config=false
disable_system_metrics=true
disable_token_authorization=true
install_py_dep_per_model=false
default_workers_per_model={workers}
job_queue_size=1000
"""
MODEL = f"""minWorkers: {engine.WORKERS}
maxWorkers: {engine.WORKERS}
batchSize: {engine.MAX_BATCH_ROWS}
maxBatchDelay: 1
"""


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free on loopback now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


if __name__ == "__main__":
    folder = Path(os.environ["BENCH_SCRATCH"])
    store = folder / "store"
    store.mkdir()
    ports = dict(zip(("management", "metrics", "grpc", "grpc_management"), free_ports(4), strict=True))
    config = CONFIG.format(http=engine.HTTP_PORT, workers=engine.WORKERS, **ports)
    (folder / "config.properties").write_text(config)
    (folder / "model-config.yaml").write_text(MODEL)
    programs = Path(sys.executable).parent
    subprocess.run(
        [programs / "torch-model-archiver", "--model-name", engine.NAME, "--version", "1.0",
         "--handler", HERE / "handler.py", "--config-file", folder / "model-config.yaml", "--export-path", store],
        check=True,
    )  # fmt: skip
    os.chdir(folder)
    os.execv(
        programs / "torchserve",
        ["torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth", "--model-store", str(store),
         "--models", f"{engine.NAME}={engine.NAME}.mar", "--ts-config", str(folder / "config.properties")],
    )  # fmt: skip
