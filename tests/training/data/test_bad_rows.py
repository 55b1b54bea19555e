"""Rows and images that cannot be used: counted, listed, and fatal or left out as the order says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aiplatform.errors import InvalidInputError
from tests.training.data.pictures import NAMES, make_bars
from tests.training.recipes.reporters import RememberingReporter
from tests.training.recipes.softmax_regression import PATH
from training.data.dataset import Dataset
from training.data.reading import LISTED, SourceReport
from training.data.sources import load_dataset
from training.learning import learn
from training.recipes.api import TrainingOrder


def load(uri: str, tmp_path: Path, **more: Any) -> tuple[Dataset, SourceReport]:
    reports: list[SourceReport] = []
    data = load_dataset(uri, seed=1, scratch=tmp_path, reports=reports, **{"target": "y", **more})
    return data, reports[0]


def write_table(path: Path) -> Path:
    """Write 100 rows: one with too many values, two without a target, one with a text among numbers."""
    rows = [f"{i},{i * 2},{i % 2}" for i in range(100)]
    rows[9] += ",surplus"
    rows[19] = "19,38,"
    rows[29] = "29,58,?"
    rows[39] = "39,many,1"
    path.write_text("a,b,y\n" + "\n".join(rows) + "\n")
    return path


def test_a_table_with_bad_rows_fails_and_names_them(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv")
    with pytest.raises(InvalidInputError) as caught:
        load(f"{path}?numbers=b", tmp_path)
    for said in (
        "bad rows, 4 of 100",
        "row 10: 4 values, not 3",
        "row 20: 'y' is missing",
        "row 40: 'b' is no number: many",
    ):
        assert said in caught.value.message


def test_bad_rows_are_left_out_and_listed(tmp_path: Path) -> None:
    data, report = load(f"{write_table(tmp_path / 't.csv')}?numbers=b&on_bad=skip", tmp_path)
    assert len(data.train) + len(data.validation) + len(data.test) == 96
    assert sorted(bad.where for bad in report.bad) == ["row 10", "row 20", "row 30", "row 40"]
    assert [spec.dtype.name for spec in data.inputs] == ["FP32", "FP32"], "b is a column of numbers again"


def test_too_many_bad_rows_fail_by_any_policy(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv")
    with pytest.raises(InvalidInputError, match=r"bad rows, 4 of 100, more than bad_limit=0\.03"):
        load(f"{path}?numbers=b&on_bad=skip&bad_limit=0.03", tmp_path)


def test_lines_that_are_no_json_are_left_out(tmp_path: Path) -> None:
    lines = [f'{{"a": {i}, "y": {i % 2}}}' for i in range(60)]
    lines[4], lines[6] = '{"a": 5, "y"', "[1, 2]"
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    data, report = load(f"{tmp_path}/t.jsonl?on_bad=skip", tmp_path)
    assert [bad.where for bad in report.bad] == ["line 5", "line 7"]
    assert len(data.train) + len(data.validation) + len(data.test) == 58


def test_only_the_first_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{i % 2 if i % 3 else ''}\n" for i in range(300)))
    _, report = load(f"{tmp_path}/t.csv?on_bad=skip&bad_limit=0.5", tmp_path)
    assert report.bad_count == 100
    assert len(report.bad) == LISTED


def write_images(folder: Path) -> Path:
    pixels, labels = make_bars(60)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{number}.png")
    files = sorted(folder.glob("*/*.png"))
    files[0].write_bytes(files[0].read_bytes()[:60])
    files[1].write_bytes(b"no image at all")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(files[2])
    return folder


def test_broken_images_are_left_out_and_listed(tmp_path: Path) -> None:
    data, report = load(f"{write_images(tmp_path / 'bars')}?on_bad=skip&bad_limit=0.1", tmp_path, target=None)
    assert len(data.train) + len(data.validation) + len(data.test) == 57
    reasons = sorted(bad.reason for bad in report.bad)
    assert "is 9x9, most images are 6x6" in reasons[2] or "is 9x9, most images are 6x6" in reasons[0]
    assert sum("is not a readable image" in reason for reason in reasons) == 2
    assert all("/" in bad.where for bad in report.bad), "files are named below their folder"


@pytest.mark.parametrize("option", ["on_bad=ignore", "bad_limit=2", "bad_limit=few"])
def test_a_policy_that_does_not_exist_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(InvalidInputError, match=f"option '{option.split('=')[0]}' must be"):
        load(f"{write_table(tmp_path / 't.csv')}?{option}", tmp_path)


def learn_from(uri: str, work_dir: Path) -> RememberingReporter:
    reporter = RememberingReporter()
    order = TrainingOrder(recipe=PATH, parameters={"epochs": 1}, data_uri=uri, target=None, seed=1, work_dir=work_dir)
    try:
        learn(order, reporter)
    except InvalidInputError as error:
        reporter.log(error.message)
    return reporter


@pytest.mark.parametrize("policy", ["fail", "skip"])
def test_a_run_is_told_its_bad_rows_whether_it_fails_or_not(tmp_path: Path, policy: str) -> None:
    reporter = learn_from(f"{write_images(tmp_path / 'bars')}?on_bad={policy}&bad_limit=0.1", tmp_path / "work")
    assert reporter.sources[0]["bad_count"] == 3
    assert len(reporter.sources[0]["bad"]) == 3
    assert any("3 bad rows" in message for message in reporter.messages)
    assert bool(reporter.epochs) == (policy == "skip")
