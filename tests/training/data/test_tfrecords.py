"""TFRecord files: tables, encoded and raw images, shards, and records that are broken."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aiplatform.errors import InvalidInputError
from tests.training.data.pictures import make_bars
from tests.training.data.records import example, framed, write_records
from training.data.dataset import DataKind, Dataset
from training.data.reading import SourceReport
from training.data.sources import load_dataset
from training.data.tfrecord import read_records

# Two examples, written by tf.io.TFRecordWriter of TensorFlow 2.21.
BY_TENSORFLOW = (
    "3d000000000000006049f1ec0a3b0a0f0a036a6f6212080a060a04636f6f6b0a110a0178120c120a0a080000003f000000000a150a03616765"
    "120e1a0c0a0affffffffffffffffff01b152120334000000000000005e33175c0a320a0f0a036a6f6212080a060a04636f6f6b0a110a017812"
    "0c120a0a080000003f0000803f0a0c0a0361676512051a030a01002b9432c4"
)


def load(uri: Path | str, tmp_path: Path, target: str | None = None) -> tuple[Dataset, SourceReport]:
    reports: list[SourceReport] = []
    data = load_dataset(str(uri), target=target, seed=1, scratch=tmp_path, reports=reports)
    return data, reports[0]


def rows(count: int = 60) -> list[bytes]:
    return [
        example({"age": i, "job": ("cook", "clerk")[i % 3 % 2], "dose": [0.5, i / 2], "y": i % 2}) for i in range(count)
    ]


@pytest.mark.parametrize("name", ["t.tfrecord", "t.tfrecords", "t.tfrecord.gz"])
def test_features_become_columns(tmp_path: Path, name: str) -> None:
    data, _ = load(write_records(tmp_path / name, rows()), tmp_path, target="y")
    assert [spec.name for spec in data.inputs] == ["age", "dose_0", "dose_1", "job"]
    assert data.kind is DataKind.TABLE
    assert sorted(np.concatenate([p.inputs["age"] for p in (data.train, data.validation, data.test)])[:, 0]) == list(
        range(60)
    )


def test_shards_of_a_folder_are_one_set(tmp_path: Path) -> None:
    made = rows(60)
    for shard in range(3):
        write_records(tmp_path / "set" / f"visits.tfrecord-0000{shard}-of-00003", made[shard * 20 : shard * 20 + 20])
    data, _ = load(tmp_path / "set", tmp_path, target="y")
    assert len(data.train) + len(data.validation) + len(data.test) == 60


def encoded(pixels: Any, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(file, kind)
    return file.getvalue()


def test_encoded_images_are_found_and_decoded(tmp_path: Path) -> None:
    pixels, labels = make_bars(60)
    made = [
        example({"image/encoded": encoded(p), "image/class/label": int(y)}) for p, y in zip(pixels, labels, strict=True)
    ]
    data, _ = load(write_records(tmp_path / "i.tfrecord", made), tmp_path)
    assert data.kind is DataKind.IMAGES
    together = np.concatenate([part.inputs["image"] for part in (data.train, data.validation, data.test)])
    assert sorted(together.reshape(60, -1).tolist()) == sorted(pixels.reshape(60, -1).tolist())


def test_raw_images_need_their_shape(tmp_path: Path) -> None:
    pixels, labels = make_bars(60)
    made = [example({"pixels": p.tobytes(), "kind": f"k{y}"}) for p, y in zip(pixels, labels, strict=True)]
    path = write_records(tmp_path / "i.tfrecord", made)
    data, _ = load(f"{path}?image=pixels&label=kind&shape=6x6x1", tmp_path)
    assert data.labels == ("k0", "k1", "k2")
    assert data.inputs[0].shape == (-1, 6, 6, 1)
    with pytest.raises(InvalidInputError, match="raw pixels need the option shape"):
        load(f"{path}?image=pixels&label=kind", tmp_path)


def test_broken_records_are_bad_rows(tmp_path: Path) -> None:
    made = rows(60)
    frames = [framed(record) for record in made]
    frames[3] = frames[3][:20] + bytes([frames[3][20] ^ 1]) + frames[3][21:]
    frames[5] = framed(example({"age": 5, "job": "cook", "dose": [1.0], "y": 1}))
    frames[7] = framed(b"\xff\xff no example")
    (tmp_path / "t.tfrecord").write_bytes(b"".join(frames))
    with pytest.raises(InvalidInputError, match=r"bad rows, 3 of 60: t\.tfrecord, record 4: its checksum is wrong"):
        load(tmp_path / "t.tfrecord", tmp_path, target="y")
    data, report = load(f"{tmp_path}/t.tfrecord?on_bad=skip&bad_limit=0.1", tmp_path, target="y")
    assert [bad.where for bad in report.bad] == [f"t.tfrecord, record {n}" for n in (4, 6, 8)]
    assert "feature 'dose' is not 2 of float" in report.bad[1].reason
    assert len(data.train) + len(data.validation) + len(data.test) == 57


@pytest.mark.parametrize(("cut", "message"), [(-3, "is cut"), (5, "cannot be read|is cut")])
def test_a_file_that_is_cut_is_refused_by_any_policy(tmp_path: Path, cut: int, message: str) -> None:
    path = write_records(tmp_path / "t.tfrecord", rows(10))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InvalidInputError, match=message):
        load(f"{path}?on_bad=skip", tmp_path, target="y")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.tfrecord").write_bytes(b"age,y\n1,2\n" * 10)
    with pytest.raises(InvalidInputError, match="is no TFRecord file, or altered"):
        load(tmp_path / "t.tfrecord", tmp_path, target="y")


def test_our_reader_reads_what_tensorflow_writes(tmp_path: Path) -> None:
    (tmp_path / "t.tfrecord").write_bytes(bytes.fromhex(BY_TENSORFLOW))
    records = list(read_records(tmp_path / "t.tfrecord", SourceReport(source="t")))
    assert [record.features for record in records] == [
        {"age": [-1], "job": [b"cook"], "x": [0.5, 0.0]},
        {"age": [0], "job": [b"cook"], "x": [0.5, 1.0]},
    ]
