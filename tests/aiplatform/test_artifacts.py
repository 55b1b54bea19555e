"""Artifacts: whole or not there, and refused when a byte differs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifact_staging import StagedArtifact, stage_artifact
from aiplatform.artifacts import (
    MANIFEST,
    WARMUP_INPUTS,
    ImageInput,
    Lineage,
    Manifest,
    decode_manifest,
    encode_manifest,
    fetch_artifact,
    read_arrays,
    read_embeddings,
    read_manifest,
    read_profile,
    verify_artifact,
)
from aiplatform.errors import ArtifactCorruptError, ArtifactError
from aiplatform.tensors import DType, Signature, TensorSpec

ROOT = Path(__file__).resolve().parents[2]
LINEAGE = Lineage(
    run_id="r1", recipe="keras_cnn", parameters={"epochs": 1}, data_uri="digits", data_fingerprint="f",
    code_commit="c", packages={"numpy": "2"}, seed=7,
)  # fmt: skip
SPEC = TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 8, 8, 1))
MANIFEST_OF_ONE = Manifest(
    name="digits", version=1, framework="tensorflow", model_format="saved_model", task="image_classification",
    signature=Signature(inputs=(SPEC,), outputs=(SPEC,)), lineage=LINEAGE, labels=("0", "1"),
    image=ImageInput(height=8, width=8, channels=1),
)  # fmt: skip


def fill(staged: StagedArtifact) -> None:
    (staged.folder / "model").mkdir()
    (staged.folder / "model" / "weights.bin").write_bytes(b"weights" * 100)
    staged.write_warmup({"image": np.ones((2, 3))}, {"label": np.array(["a", "bc"], dtype=object)})
    staged.write_profile({"rows": 2, "features": {}, "outputs": {}})


def write_artifact(place: Path) -> str:
    with stage_artifact(str(place)) as staged:
        fill(staged)
        return staged.commit(MANIFEST_OF_ONE)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "digits" / "1"


def test_what_was_written_is_read_back(place: Path) -> None:
    digest = write_artifact(place)
    manifest, read_digest = read_manifest(f"file://{place}")
    assert read_digest == digest
    assert (manifest.lineage, manifest.image, manifest.signature.inputs) == (LINEAGE, MANIFEST_OF_ONE.image, (SPEC,))
    folder = fetch_artifact(f"file://{place}", cache=place.parent / "cache", digest=digest)
    assert read_arrays(folder / WARMUP_INPUTS)["image"].tolist() == [[1.0] * 3] * 2
    assert read_arrays(folder / "warmup/outputs.npz")["label"].tolist() == ["a", "bc"]
    assert read_profile(folder)["rows"] == 2


def test_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    raw = encode_manifest(MANIFEST_OF_ONE)
    assert encode_manifest(decode_manifest(raw)) == raw


@pytest.mark.parametrize("name", ["model/weights.bin", WARMUP_INPUTS, "profile/profile.json"])
def test_one_flipped_byte_is_found_and_named(place: Path, name: str) -> None:
    digest = write_artifact(place)
    path = place / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ArtifactCorruptError, match=f"'{name}' is altered"):
        fetch_artifact(str(place), cache=place.parent, digest=digest)


def test_a_missing_a_truncated_and_an_added_file_are_found(place: Path) -> None:
    write_artifact(place)
    weights = place / "model" / "weights.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    with pytest.raises(ArtifactCorruptError, match="altered"):
        verify_artifact(place)
    weights.unlink()
    with pytest.raises(ArtifactCorruptError, match="missing"):
        verify_artifact(place)
    weights.write_bytes(content)
    (place / "model" / "extra.py").write_text("print()")
    with pytest.raises(ArtifactCorruptError, match=r"'model/extra\.py' is unexpected"):
        verify_artifact(place)


def test_a_manifest_that_was_exchanged_does_not_match_the_digest(place: Path) -> None:
    digest = write_artifact(place)
    raw = json.loads((place / MANIFEST).read_text())
    (place / MANIFEST).write_text(json.dumps({**raw, "version": 2}))
    with pytest.raises(ArtifactCorruptError, match="digest"):
        verify_artifact(place, digest=digest)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"name": "\xff"}', b'{"name": 1}'])
def test_a_manifest_that_cannot_be_read_is_corrupt(place: Path, raw: bytes) -> None:
    write_artifact(place)
    (place / MANIFEST).write_bytes(raw)
    with pytest.raises(ArtifactCorruptError):
        read_manifest(str(place))


def test_a_version_is_immutable(place: Path) -> None:
    digest = write_artifact(place)
    with pytest.raises(ArtifactError, match="immutable"):
        write_artifact(place)
    verify_artifact(place, digest=digest)
    assert [path.name for path in place.parent.iterdir()] == ["1"]


def test_what_was_not_committed_leaves_nothing(place: Path) -> None:
    with pytest.raises(RuntimeError, match="training failed"), stage_artifact(str(place)) as staged:
        fill(staged)
        raise RuntimeError("training failed")
    assert list(place.parent.iterdir()) == []


def test_no_artifact_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere"):
        read_manifest(str(tmp_path / "nowhere"))
    with pytest.raises(ArtifactError, match="nowhere"):
        fetch_artifact(str(tmp_path / "nowhere"), cache=tmp_path, digest="sha256:0")


def test_a_store_that_cannot_be_written_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    place = tmp_path / "store" / "digits" / "1"
    with pytest.raises(ArtifactError, match="could not stage"), stage_artifact(str(place)):
        pass


def test_a_writer_killed_at_any_moment_leaves_no_artifact_or_a_whole_one(place: Path) -> None:
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.aiplatform.test_artifacts import write_artifact
import itertools
for number in itertools.count(1):
    write_artifact(Path({str(place.parent)!r}) / str(number))
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    written = [path for path in place.parent.iterdir() if not path.name.startswith(".")]
    assert len(written) >= 5
    for path in written:
        verify_artifact(path)


def test_a_broken_array_file_is_corrupt(place: Path) -> None:
    write_artifact(place)
    path = place / WARMUP_INPUTS
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-30], b"no archive at all"):
        path.write_bytes(content)
        with pytest.raises(ArtifactCorruptError, match=r"inputs\.npz"):
            read_arrays(path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ArtifactCorruptError):
        read_arrays(path)


EMBEDDING = TensorSpec(name="embedding", dtype=DType.FP32, shape=(-1, 8))


def test_a_manifest_says_what_engines_compute_beside_what_clients_see() -> None:
    manifest = decode_manifest(encode_manifest(replace(MANIFEST_OF_ONE, embedding=EMBEDDING)))
    assert manifest.embedding == EMBEDDING
    assert manifest.signature == MANIFEST_OF_ONE.signature, "clients see no embedding"
    assert [spec.name for spec in manifest.computed.outputs] == ["image", "embedding"]
    assert manifest.computed.name == "monitored", "a SavedModel has a signature of its own for it"
    assert replace(manifest, model_format="torch_export").computed.name == "serving_default"


def test_a_manifest_from_before_embeddings_is_read_and_computes_its_signature() -> None:
    plain = json.loads(encode_manifest(MANIFEST_OF_ONE))
    del plain["embedding"]
    manifest = decode_manifest(json.dumps(plain).encode())
    assert manifest == MANIFEST_OF_ONE
    assert manifest.computed == manifest.signature


def test_embeddings_of_rows_held_out_are_read_back(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    with stage_artifact(str(tmp_path / "a")) as staged:
        fill(staged)
        assert read_embeddings(staged.folder) is None
        staged.write_embeddings(values)
        staged.commit(MANIFEST_OF_ONE)
    found = read_embeddings(tmp_path / "a")
    assert found is not None and np.array_equal(found, values)
    np.savez(tmp_path / "a" / "profile" / "embedding.npz", embedding=np.array(["x"]))
    with pytest.raises(ArtifactCorruptError, match=r"must hold 'embedding', numbers of shape \(rows, dimensions\)"):
        read_embeddings(tmp_path / "a")
