"""Writes an artifact: staged beside its place, verified, then moved there in one step.

On object stores the manifest is uploaded last.
"""

from __future__ import annotations

import glob
import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import (
    MANIFEST,
    PROFILE,
    WARMUP_INPUTS,
    WARMUP_OUTPUTS,
    Arrays,
    Manifest,
    checksums,
    encode_manifest,
    manifest_digest,
    verify_artifact,
)
from aiplatform.calibration import CALIBRATION, Calibration, encode_calibration
from aiplatform.durable import sync_to_disk
from aiplatform.embeddings import EMBEDDING, SAMPLE
from aiplatform.errors import ArtifactError
from aiplatform.storage import is_remote, local_path, remove_folder, upload_folder


@dataclass
class StagedArtifact:
    """A folder to fill; `commit` makes it an artifact, and nothing else does."""

    folder: Path
    destination: str
    digest: str = ""

    def write_warmup(self, inputs: Arrays, outputs: Arrays) -> None:
        """Keep a few real inputs and the trainer's own outputs for them, by tensor name."""
        (self.folder / "warmup").mkdir(exist_ok=True)
        _save_arrays(self.folder / WARMUP_INPUTS, inputs)
        _save_arrays(self.folder / WARMUP_OUTPUTS, outputs)

    def write_profile(self, profile: Mapping[str, Any]) -> None:
        """Keep the training data's profile (`DataProfile.to_dict()`)."""
        (self.folder / "profile").mkdir(exist_ok=True)
        (self.folder / PROFILE).write_text(json.dumps(profile))

    def write_calibration(self, calibration: Calibration) -> None:
        """Keep how often a confidence is right."""
        (self.folder / "profile").mkdir(exist_ok=True)
        (self.folder / CALIBRATION).write_bytes(encode_calibration(calibration))

    def write_embeddings(self, values: np.ndarray[Any, Any]) -> None:
        """Keep embeddings of rows held out, shape (n, dimensions): what vectors are compared with as a whole."""
        (self.folder / "profile").mkdir(exist_ok=True)
        _save_arrays(self.folder / SAMPLE, {EMBEDDING: values})

    def commit(self, manifest: Manifest) -> str:
        """Write checksums and manifest, verify, move into place; return the digest.

        Raises: ArtifactError if the store refuses or the place is taken.
        """
        try:
            raw = encode_manifest(replace(manifest, files=checksums(self.folder)))
            (self.folder / MANIFEST).write_bytes(raw)
            _sync_tree(self.folder)
            verify_artifact(self.folder)
            self._place()
        except OSError as error:
            raise ArtifactError(f"could not write the artifact to {self.destination}: {error}") from error
        self.digest = manifest_digest(raw)
        return self.digest

    def _place(self) -> None:
        if is_remote(self.destination):
            upload_folder(self.folder, self.destination, last=MANIFEST)
            return
        target = local_path(self.destination)
        if target.exists():
            raise ArtifactError(f"{self.destination} exists already; a version is immutable")
        self.folder.rename(target)
        sync_to_disk(target.parent)


def _staging_prefix(destination: str) -> str:
    return f".staging-{destination.rstrip('/').rpartition('/')[2]}."  # the dot ends it: no other place begins so


def staging_left(destination: str) -> list[Path]:
    """Return the folders beside a local place in which somebody writes, or died writing, what is to go there."""
    if is_remote(destination):
        return []
    return sorted(local_path(destination).parent.glob(f"{glob.escape(_staging_prefix(destination))}*"))


@contextmanager
def stage_artifact(destination: str, *, scratch: Path | None = None) -> Iterator[StagedArtifact]:
    """Give a folder to fill, beside `destination` (or below `scratch` for object stores).

    What was not committed is removed on leaving.
    Raises: ArtifactError if the folder cannot be made.
    """
    if is_remote(destination):
        parent = scratch or Path(tempfile.gettempdir())
    else:
        parent = local_path(destination).parent
    folder = parent / f"{_staging_prefix(destination)}{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ArtifactError(f"could not stage an artifact in {parent}: {error}") from error
    try:
        yield StagedArtifact(folder=folder, destination=destination)
    finally:
        remove_folder(folder)


def _save_arrays(path: Path, arrays: Arrays) -> None:
    plain = {name: a.astype(str) if a.dtype.kind == "O" else a for name, a in arrays.items()}
    np.savez(path, **plain)  # type: ignore[arg-type]


def _sync_tree(folder: Path) -> None:
    sync_to_disk(*folder.rglob("*"), folder)
