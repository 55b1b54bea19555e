"""Data in object stores, against servers that speak S3 and GCS on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from aiplatform.errors import InvalidInputError, UnavailableError
from aiplatform.storage import open_filesystem
from tests.training.data.pictures import write_bars
from tests.training.data.test_image_sources import write_pngs
from training.data.sources import load_dataset


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    filesystem = fsspec.filesystem("s3", skip_instance_cache=True)
    filesystem.clear_instance_cache()
    filesystem, _ = open_filesystem("s3://data/")
    filesystem.mkdir("data")  # type: ignore[attr-defined]
    yield "s3://data"
    filesystem.clear_instance_cache()  # type: ignore[attr-defined]
    server.stop()


def test_files_and_folders_come_from_s3(s3: str, tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz", rows=120)
    write_pngs(tmp_path / "bars", rows=30)
    filesystem, _ = open_filesystem(s3)
    filesystem.put_file(str(tmp_path / "bars.npz"), "data/bars.npz")
    for path in (tmp_path / "bars").glob("*/*.png"):
        filesystem.put_file(str(path), f"data/{path.relative_to(tmp_path).as_posix()}")
    scratch = tmp_path / "scratch"
    for name in ("bars.npz", "bars"):
        there = load_dataset(f"{s3}/{name}", target=None, seed=1, scratch=scratch)
        here = load_dataset(str(tmp_path / name), target=None, seed=1, scratch=scratch)
        assert there.fingerprint == here.fingerprint
        assert there.labels == here.labels
    assert list(scratch.iterdir()) == [], "downloads are removed once they are read"
    with pytest.raises(InvalidInputError, match=r"there is no data at 's3://data/nothing\.npz'"):
        load_dataset(f"{s3}/nothing.npz", target=None, seed=1, scratch=scratch)
    with pytest.raises((InvalidInputError, UnavailableError), match=r"'s3://nobucket/x\.npz'"):
        load_dataset("s3://nobucket/x.npz", target=None, seed=1, scratch=scratch)


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    emulator = str(Path(sys.executable).parent / "gcp-storage-emulator")
    command = [emulator, "start", "--in-memory", "--default-bucket=data", "--host=127.0.0.1"]
    server = subprocess.Popen(
        [*command, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    try:
        _wait_for(port)
        yield "gs://data"
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_files_come_from_gcs(gcs: str, tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz", rows=90)
    filesystem, _ = open_filesystem(gcs)
    filesystem.put_file(str(tmp_path / "bars.npz"), "data/bars.npz")
    there = load_dataset(f"{gcs}/bars.npz", target=None, seed=1, scratch=tmp_path / "scratch")
    here = load_dataset(str(tmp_path / "bars.npz"), target=None, seed=1, scratch=tmp_path / "scratch")
    assert there.fingerprint == here.fingerprint
    with pytest.raises(InvalidInputError, match="there is no data at 'gs://data/nothing'"):
        load_dataset(f"{gcs}/nothing", target=None, seed=1, scratch=tmp_path / "scratch")
