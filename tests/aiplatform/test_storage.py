"""Stores behind one kind of URI."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiplatform.errors import InvalidInputError
from aiplatform.storage import (
    download_folder,
    is_remote,
    join_uri,
    local_path,
    open_filesystem,
    remove_folder,
    upload_folder,
)


@pytest.mark.parametrize(
    ("uri", "is_far"), [("s3://b/k", True), ("gs://b", True), ("file:///a", False), ("/a/s3", False)]
)
def test_only_object_stores_are_remote(uri: str, is_far: bool) -> None:
    assert is_remote(uri) is is_far


def test_local_uris_and_paths_are_the_same(tmp_path: Path) -> None:
    assert local_path(f"file://{tmp_path}") == local_path(str(tmp_path)) == tmp_path
    with pytest.raises(InvalidInputError, match="s3://b"):
        local_path("s3://b/k")


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="file, s3 or gs, not 'ftp'"):
        open_filesystem("ftp://host/x")


def test_segments_are_joined_with_one_slash() -> None:
    assert join_uri("s3://b/", "/m/", "1") == "s3://b/m/1"


def test_a_folder_goes_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "x.bin").write_bytes(b"x")
    (source / "manifest.json").write_text("{}")
    (tmp_path / "store" / "a" / "b").mkdir(parents=True)
    upload_folder(source, f"file://{tmp_path}/store", last="manifest.json")
    download_folder(f"file://{tmp_path}/store", tmp_path / "back")
    assert (tmp_path / "back" / "a" / "b" / "x.bin").read_bytes() == b"x"
    assert (tmp_path / "back" / "manifest.json").read_text() == "{}"
    remove_folder(tmp_path / "back")
    remove_folder(tmp_path / "back")
    assert not (tmp_path / "back").exists()
