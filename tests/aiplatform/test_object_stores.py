"""Artifacts in object stores: whole or not there, refused when a byte differs, and clear words when the store is away.

Against servers that speak S3 and GCS on loopback.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import MANIFEST, fetch_artifact, read_manifest
from aiplatform.errors import ArtifactCorruptError, ArtifactError
from aiplatform.storage import download_folder, open_filesystem, upload_folder
from tests.aiplatform.object_stores import BUCKET, running_gcs, running_s3, s3_env
from tests.aiplatform.test_artifacts import MANIFEST_OF_ONE, ROOT, fill
from tests.e2e.topology import free_port

SERVERS = {"s3": running_s3, "gs": running_gcs}
pytestmark = pytest.mark.xdist_group("object-stores")


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """Give a scheme and the environment that leads to its server."""
    with SERVERS[request.param]() as env:
        yield request.param, env


@pytest.fixture
def store(server: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Give the URI of an empty store."""
    scheme, env = server
    _lead_to(env, monkeypatch)
    yield f"{scheme}://{BUCKET}/{tmp_path.name}"
    _forget_clients()


def _lead_to(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    _forget_clients()
    if "FSSPEC_GS_TOKEN" in env:  # fsspec reads its variables when it is imported
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": env["FSSPEC_GS_TOKEN"]})


def _forget_clients() -> None:
    for scheme in SERVERS:
        fsspec.get_filesystem_class(scheme).clear_instance_cache()


def write(uri: str, scratch: Path) -> str:
    with stage_artifact(uri, scratch=scratch) as staged:
        fill(staged)
        return staged.commit(MANIFEST_OF_ONE)


def other_process(code: str) -> None:
    """Run Python that changes the store behind this process's back."""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_what_was_written_is_fetched_once_and_leaves_no_staging(store: str, tmp_path: Path) -> None:
    digest = write(f"{store}/digits/1", tmp_path)
    manifest, read_digest = read_manifest(f"{store}/digits/1")
    assert (manifest.name, read_digest) == ("digits", digest)
    cache = tmp_path / "cache"
    folder = fetch_artifact(f"{store}/digits/1", cache=cache, digest=digest)
    assert (folder / "model" / "weights.bin").read_bytes() == b"weights" * 100
    filesystem, root = open_filesystem(store)
    filesystem.rm(root, recursive=True)
    assert fetch_artifact(f"{store}/digits/1", cache=cache, digest=digest) == folder
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_version_1_holds_no_file_of_version_10(store: str, tmp_path: Path) -> None:
    digest = write(f"{store}/digits/1", tmp_path)
    write(f"{store}/digits/10", tmp_path)
    folder = fetch_artifact(f"{store}/digits/1", cache=tmp_path / "cache", digest=digest)
    assert not list(folder.glob("*0*"))


def test_a_corrupted_object_is_refused_and_not_kept(store: str, tmp_path: Path) -> None:
    digest = write(f"{store}/digits/1", tmp_path)
    filesystem, root = open_filesystem(f"{store}/digits/1")
    (tmp_path / "bad").write_bytes(b"weightS" * 100)
    filesystem.put_file(str(tmp_path / "bad"), f"{root}/model/weights.bin")
    with pytest.raises(ArtifactCorruptError, match=r"'model/weights\.bin' is altered"):
        fetch_artifact(f"{store}/digits/1", cache=tmp_path / "cache", digest=digest)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_object_is_refused(store: str, tmp_path: Path) -> None:
    digest = write(f"{store}/digits/1", tmp_path)
    filesystem, root = open_filesystem(f"{store}/digits/1")
    filesystem.rm(f"{root}/model/weights.bin")
    with pytest.raises(ArtifactCorruptError, match=r"'model/weights\.bin' is missing"):
        fetch_artifact(f"{store}/digits/1", cache=tmp_path / "cache", digest=digest)


def test_a_cached_copy_that_was_damaged_is_fetched_anew(store: str, tmp_path: Path) -> None:
    digest = write(f"{store}/digits/1", tmp_path)
    folder = fetch_artifact(f"{store}/digits/1", cache=tmp_path / "cache", digest=digest)
    (folder / "model" / "weights.bin").write_bytes(b"")
    again = fetch_artifact(f"{store}/digits/1", cache=tmp_path / "cache", digest=digest)
    assert (again / "model" / "weights.bin").read_bytes() == b"weights" * 100


def test_an_object_that_would_be_written_outside_its_folder_is_refused(store: str, tmp_path: Path) -> None:
    if store.startswith("gs:"):
        return  # the emulator hangs up on such a name
    filesystem, root = open_filesystem(store)
    (tmp_path / "evil").write_bytes(b"evil")
    filesystem.put_file(str(tmp_path / "evil"), f"{root}/1/../../outside")
    with pytest.raises(ArtifactError, match="outside"):
        download_folder(f"{store}/1", tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("outside"))


def test_an_upload_that_breaks_off_leaves_no_manifest(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "first").write_text("first")
    (folder / MANIFEST).write_text("{}")
    (folder / "unreadable").symlink_to("/proc/self/mem")  # opens, and fails when it is read
    with pytest.raises(ArtifactError, match=f"could not upload to {store}/1"):
        upload_folder(folder, f"{store}/1", last=MANIFEST)
    filesystem, root = open_filesystem(f"{store}/1")
    assert filesystem.find(root) == [f"{root}/first"]
    with pytest.raises(ArtifactError, match=f"no artifact at {store}/1"):
        read_manifest(f"{store}/1")


def test_a_version_is_immutable(store: str, tmp_path: Path) -> None:
    digest = write(f"{store}/digits/1", tmp_path)
    with pytest.raises(ArtifactError, match="immutable"):
        write(f"{store}/digits/1", tmp_path)
    assert read_manifest(f"{store}/digits/1")[1] == digest


def test_what_another_process_wrote_or_removed_is_seen(store: str, tmp_path: Path) -> None:
    filesystem, root = open_filesystem(store)
    first = write(f"{store}/digits/1", tmp_path)
    fetch_artifact(f"{store}/digits/1", cache=tmp_path / "cache", digest=first)
    assert filesystem.exists(f"{root}/digits/1")
    assert not filesystem.exists(f"{root}/digits/2")
    assert len(filesystem.find(f"{root}/digits")) == 5
    other_process(f"""
import fsspec
from pathlib import Path
from aiplatform.storage import open_filesystem
from tests.aiplatform.test_object_stores import write
write({store + "/digits/2"!r}, Path({str(tmp_path)!r}))
filesystem, root = open_filesystem({store + "/digits/1"!r})
filesystem.rm(root, recursive=True)
""")
    filesystem, root = open_filesystem(store)
    assert filesystem.exists(f"{root}/digits/2")
    assert not filesystem.exists(f"{root}/digits/1")
    assert len(filesystem.find(f"{root}/digits")) == 5
    digest = read_manifest(f"{store}/digits/2")[1]
    fetch_artifact(f"{store}/digits/2", cache=tmp_path / "other", digest=digest)


def test_no_artifact_is_an_error_that_names_the_place(store: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=f"no artifact at {store}/nowhere/1"):
        read_manifest(f"{store}/nowhere/1")
    with pytest.raises(ArtifactError, match=f"no artifact at {store}/nowhere/1"):
        fetch_artifact(f"{store}/nowhere/1", cache=tmp_path, digest="sha256:0")


def test_a_missing_bucket_is_an_error_that_names_it(store: str, tmp_path: Path) -> None:
    place = f"{store.split('://')[0]}://nobucket/digits/1"
    with pytest.raises(ArtifactError, match=place):
        write(place, tmp_path)
    with pytest.raises(ArtifactError, match=place):
        read_manifest(place)
    with pytest.raises(ArtifactError, match=place):
        fetch_artifact(place, cache=tmp_path / "cache", digest="sha256:0")


def test_a_store_that_is_away_is_an_artifact_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # S3 only: gcsfs tries for more than half a minute before it gives up
    _lead_to(s3_env(f"http://127.0.0.1:{free_port()}"), monkeypatch)
    with pytest.raises(ArtifactError, match=f"could not read s3://{BUCKET}/digits/1"):
        read_manifest(f"s3://{BUCKET}/digits/1")
    _forget_clients()
