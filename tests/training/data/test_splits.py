"""Who is held out, by every rule: what must not be on both sides is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from tests.training.data.pictures import write_bars
from training.data.dataset import Array, Dataset, Part
from training.data.reading import SourceReport
from training.data.sources import load_dataset
from training.data.split import SplitRule, parse_split, split_parts

ROWS = 200


def write_visits(path: Path) -> Path:
    """Write visits of 40 patients, five each, in no order of time."""
    random = np.random.default_rng(3)
    days = random.permutation(ROWS)
    lines = ["dose,patient,day,part,outcome"]
    for row in range(ROWS):
        moment = np.datetime64("2024-01-01") + int(days[row])
        part = ("train", "Validation", "TEST", "training")[row % 4]
        lines.append(f"{days[row]},p{row % 40},{moment},{part},{('well', 'ill')[row % 2]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def load(tmp_path: Path, options: str, *, seed: int = 1) -> tuple[Dataset, SourceReport]:
    reports: list[SourceReport] = []
    uri = f"{write_visits(tmp_path / 'visits.csv')}?{options}"
    data = load_dataset(uri, target="outcome", seed=seed, scratch=tmp_path, reports=reports)
    return data, reports[0]


def days(part: Part) -> Array:
    column: Array = part.inputs["dose"][:, 0]
    return column


def test_by_time_the_latest_rows_are_held_out(tmp_path: Path) -> None:
    data, report = load(tmp_path, "split=time:day")
    assert days(data.train).max() < days(data.validation).min()
    assert days(data.validation).max() < days(data.test).min()
    assert (len(data.train), len(data.validation), len(data.test)) == (144, 16, 40)
    assert "day" not in [spec.name for spec in data.inputs], "the model would learn the date by heart"
    assert report.split == "time:day"
    assert report.rows == {"training": 144, "validation": 16, "test": 40}


def test_rows_of_one_moment_stay_together() -> None:
    moments = np.repeat(np.arange(10), 10).astype(float)
    parts = split_parts(np.arange(100) % 2, rule=SplitRule(kind="time", column="t"), seed=0, values=moments)
    sides = [set(moments[rows]) for rows in (parts.train, parts.validation, parts.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert sides[2] == {8.0, 9.0}


def test_no_group_is_on_both_sides(tmp_path: Path) -> None:
    text = write_visits(tmp_path / "v.csv").read_text().splitlines()[1:]
    patient_of = {float(line.split(",")[0]): line.split(",")[1] for line in text}
    data, _ = load(tmp_path, "split=group:patient&drop=day")
    groups = [{patient_of[float(day)] for day in days(part)} for part in (data.train, data.validation, data.test)]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert len(data.test) == 40
    assert "patient" not in [spec.name for spec in data.inputs]
    other, _ = load(tmp_path, "split=group:patient&drop=day", seed=2)
    assert set(days(other.test)) != set(days(data.test)), "the seed chooses the groups"


def test_a_column_names_the_parts(tmp_path: Path) -> None:
    data, report = load(tmp_path, "split=column:part&drop=day")
    assert report.rows == {"training": 100, "validation": 50, "test": 50}
    assert len({*days(data.train), *days(data.validation), *days(data.test)}) == ROWS


def test_ordered_holds_out_the_last_rows(tmp_path: Path) -> None:
    data, _ = load(tmp_path, "split=ordered&drop=day")
    lines = (tmp_path / "visits.csv").read_text().splitlines()[1:]
    assert days(data.test).tolist() == [float(line.split(",")[0]) for line in lines[-40:]]


def test_parts_that_a_column_does_not_name_are_split_off(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "a,p,y\n" + "".join(f"{i},{'test' if i > 80 else 'train'},{i % 2}\n" for i in range(100))
    )
    data = load_dataset(f"{tmp_path}/t.csv?split=column:p", target="y", seed=1, scratch=tmp_path)
    assert len(data.test) == 19
    assert len(data.validation) == 8


def test_images_are_split_in_their_order(tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz", rows=100)
    with np.load(tmp_path / "bars.npz") as arrays:
        last = arrays[next(n for n in arrays.files if arrays[n].ndim > 2)][-20:]
    data = load_dataset(f"{tmp_path}/bars.npz?split=ordered", target=None, seed=1, scratch=tmp_path)
    assert np.array_equal(data.test.inputs["image"].reshape(last.shape), last)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("split=random", "must be seed, ordered, time:COLUMN.*not 'random'"),
        ("split=time", "must be seed.*not 'time'"),
        ("split=column:dose&drop=day", r"values must be train, validation or test, not '0' \(row"),
        ("split=time:outcome", "is the target"),
        ("split=group:nobody", "there is no column 'nobody'"),
    ],
)
def test_a_split_that_cannot_be_says_why(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises((InvalidInputError, InvalidConfigurationError), match=message):
        load(tmp_path, options)


def test_one_group_cannot_be_on_three_sides() -> None:
    with pytest.raises(InvalidInputError, match=r"needs a group for each part"):
        split_parts(np.arange(10) % 2, rule=parse_split("group:g"), seed=0, values=np.zeros(10))


def test_images_have_no_columns_to_split_by(tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz")
    with pytest.raises(InvalidInputError, match="has no columns: split=time:day is for tables"):
        load_dataset(f"{tmp_path}/bars.npz?split=time:day", target=None, seed=1, scratch=tmp_path)
