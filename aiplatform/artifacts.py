"""The model artifact: one directory that training writes and every other part reads.

    manifest.json   name, version, framework, signature, labels, metrics, lineage, sha256 of each file
    model/          the framework's own format
    engines/        the same model compiled for serving
    profile/        profile.json: the training data's profile, the drift baseline; calibration.json: how often a
                    confidence is right (aiplatform.calibration); embedding.npz: some embeddings of rows held out
    warmup/         inputs.npz and outputs.npz: real inputs with the trainer's own outputs

It is staged beside its place, verified, then moved there in one step (aiplatform.artifact_staging). A reader that
finds a wrong checksum refuses the artifact.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from aiplatform.calibration import CALIBRATION, Calibration, decode_calibration
from aiplatform.embeddings import EMBEDDING, SAMPLE
from aiplatform.errors import ArtifactCorruptError, ArtifactError
from aiplatform.storage import (
    download_folder,
    is_remote,
    local_path,
    open_filesystem,
    remove_folder,
    store_errors,
)
from aiplatform.tensors import Signature, TensorSpec

MANIFEST = "manifest.json"
PROFILE = "profile/profile.json"
WARMUP_INPUTS = "warmup/inputs.npz"
WARMUP_OUTPUTS = "warmup/outputs.npz"
FORMAT_VERSION = 1
MONITORED = "monitored"  # a SavedModel's signature that gives the embedding beside the outputs

Arrays = dict[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file's checksum and size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where a version comes from; enough to make it again."""

    run_id: str
    recipe: str
    parameters: Mapping[str, Any]
    data_uri: str
    data_fingerprint: str
    code_commit: str
    packages: Mapping[str, str]
    seed: int


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """How an uploaded or drawn image becomes the input tensor."""

    height: int
    width: int
    channels: int
    low: float = 0.0  # the value of black
    high: float = 255.0  # the value of white


@dataclass(frozen=True, kw_only=True)
class Padding:
    """How rows of different sizes may share a batch: pad `input` along `axis` to the next of `sizes`.

    `sizes` rise; `axis` counts from the batch dimension (0), so it is at least 1. `outputs` are those
    that have as many elements along the same axis as the padded input, and are cut back.
    """

    input: str
    axis: int
    sizes: tuple[int, ...]
    value: float = 0.0
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an artifact says of itself.

    `framework` is 'tensorflow' or 'torch'; `task` is 'image_classification', 'tabular_classification',
    'regression', 'forecasting' or 'object_detection'; `model_format` says how `model/` is to be loaded
    ('saved_model', 'torch_export', 'torchscript'). `text_bytes`: how many bytes of each text of an input go into a
    model whose framework has no texts (aiplatform.text_bytes). `embedding` is what the model computes beside its
    outputs for monitoring alone: `signature` is what clients see, `computed` what engines run.
    """

    name: str
    version: int
    framework: str
    model_format: str
    task: str
    signature: Signature
    lineage: Lineage
    labels: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    image: ImageInput | None = None
    padding: tuple[Padding, ...] = ()
    text_bytes: Mapping[str, int] = field(default_factory=dict)
    embedding: TensorSpec | None = None  # (rows, dimensions), see training/recipes/embeddings.py
    created_at: str = ""  # ISO 8601, UTC
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def computed(self) -> Signature:
        """Return what engines compute: the signature, and the embedding behind its outputs if there is one.

        A SavedModel has a signature of its own for it, so that whoever else reads the file finds the model as it is.
        """
        if self.embedding is None:
            return self.signature
        name = MONITORED if self.model_format == "saved_model" else self.signature.name
        return replace(self.signature, outputs=(*self.signature.outputs, self.embedding), name=name)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return canonical JSON: the same manifest gives the same bytes, so the same digest."""
    plain = msgspec.to_builtins(manifest)
    return json.dumps(plain, sort_keys=True, indent=1).encode()


def decode_manifest(raw: bytes) -> Manifest:
    """Rebuild a manifest.

    Raises: ArtifactCorruptError if it is not one of this format.
    """
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactCorruptError(f"{MANIFEST} cannot be read: {error}") from error


def manifest_digest(raw: bytes) -> str:
    """Return the artifact's digest: it covers every file through the manifest's checksums."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def read_manifest(uri: str) -> tuple[Manifest, str]:
    """Return the manifest and the digest of the artifact at a URI, without its files.

    Raises: ArtifactError if there is none; ArtifactCorruptError if it cannot be read.
    """
    with store_errors(f"could not read {uri}"):
        filesystem, root = open_filesystem(uri)
        try:
            raw = filesystem.cat_file(f"{root}/{MANIFEST}")
        except FileNotFoundError as error:
            raise ArtifactError(f"no artifact at {uri}: {error}") from error
    return decode_manifest(raw), manifest_digest(raw)


def fetch_artifact(uri: str, *, cache: Path, digest: str) -> Path:
    """Return a local, verified folder of the artifact; downloaded once per digest, again if the copy is damaged.

    Raises: ArtifactError if it is missing; ArtifactCorruptError if a byte differs.
    """
    if not is_remote(uri):
        folder = local_path(uri)
        verify_artifact(folder, digest=digest)
        return folder
    folder = cache / digest.replace(":", "-")
    if folder.exists() and not _is_whole(folder, digest):
        remove_folder(folder)
    if not folder.exists():
        _download_verified(uri, folder, digest)
    return folder


def verify_artifact(folder: Path, *, digest: str | None = None) -> Manifest:
    """Check every file against the manifest and, if given, the manifest against its digest.

    Raises: ArtifactError if there is no manifest; ArtifactCorruptError naming the first file
    that is missing, unexpected or different.
    """
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(f"no artifact at {folder}: {error}") from error
    if digest is not None and manifest_digest(raw) != digest:
        raise ArtifactCorruptError(f"{folder}: the manifest's digest is {manifest_digest(raw)}, not {digest}")
    manifest = decode_manifest(raw)
    found = checksums(folder)
    for name in sorted({*manifest.files, *found}):
        if manifest.files.get(name) != found.get(name):
            state = "missing" if name not in found else "unexpected" if name not in manifest.files else "altered"
            raise ArtifactCorruptError(f"{folder}: file '{name}' is {state}")
    return manifest


def read_arrays(path: Path) -> Arrays:
    """Return the named arrays of an .npz file; BYTES tensors come back as object arrays of str.

    Raises: ArtifactCorruptError if it cannot be read.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactCorruptError(f"{path} cannot be read: {error}") from error
    return {n: a.astype(object) if a.dtype.kind in "SU" else a for n, a in arrays.items()}


def read_profile(folder: Path) -> dict[str, Any]:
    """Return the training data's profile as `DataProfile.from_dict` takes it."""
    profile: dict[str, Any] = json.loads((folder / PROFILE).read_text())
    return profile


def read_calibration(folder: Path) -> Calibration | None:
    """Return how often a confidence is right; None if the artifact does not say.

    Raises: ArtifactCorruptError if what it says cannot be read.
    """
    path = folder / CALIBRATION
    return decode_calibration(path.read_bytes()) if path.exists() else None


def read_embeddings(folder: Path) -> np.ndarray[Any, Any] | None:
    """Return embeddings of rows held out, shape (n, dimensions); None if the artifact has none.

    Raises: ArtifactCorruptError if they cannot be read.
    """
    path = folder / SAMPLE
    if not path.exists():
        return None
    values = read_arrays(path).get(EMBEDDING)
    if values is None or values.ndim != 2 or values.dtype.kind != "f":
        raise ArtifactCorruptError(f"{path} must hold '{EMBEDDING}', numbers of shape (rows, dimensions)")
    return values


def checksums(folder: Path) -> dict[str, FileEntry]:
    """Return the checksum and size of each file of an artifact but its manifest, by path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    entries = {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            with path.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
            entries[name] = FileEntry(sha256=checksum, size_bytes=path.stat().st_size)
    return entries


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        verify_artifact(folder, digest=digest)
    except ArtifactError:
        return False
    return True


def _download_verified(uri: str, folder: Path, digest: str) -> None:
    staging = folder.with_name(f".fetch-{secrets.token_hex(8)}")
    try:
        download_folder(uri, staging)
        verify_artifact(staging, digest=digest)
        _move_unless_there(staging, folder)
    finally:
        remove_folder(staging)


def _move_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.exists():  # another process may have fetched the same digest meanwhile
            raise
