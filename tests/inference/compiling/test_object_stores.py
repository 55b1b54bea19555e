"""Engine packs in S3 and GCS, against servers on loopback that speak these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from aiplatform.errors import ArtifactCorruptError
from aiplatform.storage import open_filesystem
from inference.compiling.packs import PackStore
from inference.compiling.table import TABLE_FILE, EngineTable, encode_table
from tests.aiplatform.object_stores import BUCKET, running_gcs, running_s3
from tests.inference.compiling.models import ONNX_MANIFEST

DIGEST = "sha256:12"
pytestmark = pytest.mark.xdist_group("object-stores")


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    running = running_s3 if request.param == "s3" else running_gcs
    with running() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        if "FSSPEC_GS_TOKEN" in variables:  # fsspec reads its variables when it is imported
            monkeypatch.setitem(fsspec.config.conf, "gs", {"token": variables["FSSPEC_GS_TOKEN"]})
        fsspec.get_filesystem_class(request.param).clear_instance_cache()
        yield f"{request.param}://{BUCKET}/engines"
        fsspec.get_filesystem_class(request.param).clear_instance_cache()


def test_a_pack_is_written_found_verified_and_replaced(store: str, tmp_path: Path) -> None:
    packs = PackStore([store], cache=tmp_path / "cache")
    table = EngineTable(artifact_digest=DIGEST, machine="m", tolerance="t", candidates=())
    made = tmp_path / "made"
    (made / "engines" / "litert").mkdir(parents=True)
    (made / "engines" / "litert" / "model.tflite").write_bytes(b"model")
    (made / TABLE_FILE).write_bytes(encode_table(table))
    assert packs.find(DIGEST, "m") is None
    for number in (1, 2, 3):
        place = packs.publish(made, manifest=ONNX_MANIFEST, digest=DIGEST, machine="m")
        assert (place.number, packs.find(DIGEST, "m")) == (number, place)
    pack = packs.fetch(place, digest=DIGEST)
    files = pack.files("litert")
    assert files is not None and (files / "model.tflite").read_bytes() == b"model"
    assert pack.table == table
    filesystem, root = open_filesystem(store)
    numbers = {str(name)[len(root) :].split("/")[3] for name in filesystem.find(root)}
    assert numbers == {"2", "3"}
    with filesystem.open(f"{root}/sha256-12/m/2/engines/litert/model.tflite", "wb") as file:
        file.write(b"other")
    [before] = [p for p in packs._places(DIGEST) if p.number == 2]
    with pytest.raises(ArtifactCorruptError, match="is altered"):
        PackStore([store], cache=tmp_path / "other").fetch(before, digest=DIGEST)
