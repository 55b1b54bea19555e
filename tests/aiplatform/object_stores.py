"""Servers that speak S3 and GCS on loopback, each with an empty bucket, for whoever tests against them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.e2e.topology import free_port, wait_until

BUCKET = "bucket"
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # read when gcsfs is imported; needs real gRPC


@contextmanager
def running_s3() -> Iterator[dict[str, str]]:
    """Run moto's server; give the variables by which s3fs finds it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset", trust_env=False)  # all servers of a process share one memory
    httpx.put(f"http://{host}:{port}/{BUCKET}", trust_env=False).raise_for_status()
    try:
        yield s3_env(f"http://{host}:{port}")
    finally:
        server.stop()


def s3_env(endpoint: str) -> dict[str, str]:
    """Return the variables that lead s3fs to an endpoint."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextmanager
def running_gcs() -> Iterator[dict[str, str]]:
    """Run gcp-storage-emulator; give the variables by which gcsfs finds it."""
    port = free_port()
    program = Path(sys.executable).with_name("gcp-storage-emulator")
    command = [str(program), "start", "--in-memory", f"--default-bucket={BUCKET}", "--host=127.0.0.1"]
    server = subprocess.Popen(
        [*command, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/"), within_s=60, what="the GCS emulator answers")
        yield gcs_env(f"http://127.0.0.1:{port}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def gcs_env(endpoint: str) -> dict[str, str]:
    """Return the variables that lead gcsfs to an endpoint, without credentials."""
    return {
        "STORAGE_EMULATOR_HOST": endpoint,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "FSSPEC_GS_TOKEN": "anon",
    }


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False
