"""Several sources as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError
from training.data.combined import combine_uris
from training.data.sources import load_dataset


def write(path: Path, labels: list[str], *, size: int = 8) -> str:
    count = len(labels)
    np.savez(path, images=np.full((count, size, size), 7, np.uint8), labels=np.array(labels))
    return str(path)


def test_rows_of_all_sources_are_there_and_labels_are_joined_by_name(tmp_path: Path) -> None:
    first = write(tmp_path / "a.npz", ["cat", "dog"] * 10)
    second = write(tmp_path / "b.npz", ["dog", "emu"] * 10)
    both = load_dataset(combine_uris([first, second]), target=None, seed=0, scratch=tmp_path)
    assert both.labels == ("cat", "dog", "emu")
    assert len(both.train) + len(both.validation) + len(both.test) == 40
    named = [both.labels[code] for part in (both.train, both.validation, both.test) for code in part.labels]
    assert {name: named.count(name) for name in both.labels} == {"cat": 10, "dog": 20, "emu": 10}


def test_no_sources_test_rows_are_learnt_from(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.npz", ["cat", "dog"] * 20)
    other = write(tmp_path / "b.npz", ["cat", "dog"] * 10)
    alone = load_dataset(uri, target=None, seed=0, scratch=tmp_path)
    both = load_dataset(combine_uris([uri, other]), target=None, seed=0, scratch=tmp_path)
    assert np.array_equal(both.test.labels[: len(alone.test)], alone.test.labels)


def test_sources_of_other_shapes_or_none_are_refused(tmp_path: Path) -> None:
    small, large = (
        write(tmp_path / "a.npz", ["cat", "dog"] * 10),
        write(tmp_path / "b.npz", ["cat", "dog"] * 10, size=9),
    )
    with pytest.raises(InvalidInputError, match="inputs differ in image"):
        load_dataset(f"all:{small}|{large}", target=None, seed=0, scratch=tmp_path)
    with pytest.raises(InvalidInputError, match="at least two"):
        load_dataset(f"all:{small}", target=None, seed=0, scratch=tmp_path)
    with pytest.raises(InvalidInputError, match="at least one source"):
        combine_uris([])


def test_one_source_is_itself_and_a_repeated_one_counts_once() -> None:
    assert combine_uris(["digits"]) == "digits"
    assert combine_uris(["all:digits|a.npz", "a.npz", "b.npz"]) == "all:digits|a.npz|b.npz"
