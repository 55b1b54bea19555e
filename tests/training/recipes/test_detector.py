"""The detector: its scores by hand, its grid there and back, its scenes, and a real training that is served."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from aiplatform.errors import InvalidInputError
from tests.training.recipes.serving import open_as
from training.data.coco import load_coco
from training.data.road_scenes import CLASSES, write_road_scenes
from training.recipes.detection_grid import Grid, decode_grid, grid_loss
from training.recipes.detection_scores import average_precisions, box_overlaps, detection_metrics

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small scenes."""
    folder = tmp_path_factory.mktemp("scenes") / "road"
    write_road_scenes(folder, count=60, seed=1, height=48, width=64)
    return folder


def test_overlaps_are_shares_of_the_union() -> None:
    one = np.array([[0.0, 0.0, 2.0, 2.0]])
    other = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0], [1.0, 1.0, 1.0, 1.0]])
    assert box_overlaps(one, other)[0].tolist() == pytest.approx([1.0, 2 / 6, 0.0, 0.0])


def detection(box: list[float], score: float, kind: int) -> list[float]:
    return [*box, score, kind, 0.0]


def test_average_precision_by_hand() -> None:
    """Surest first: right, wrong (no box there), wrong (its box is taken), right: precision 1 up to half of all."""
    a, b, away = [0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]
    truth = np.array([[[0, *a], [0, *b]], [[-1, -1, -1, -1, -1]] * 2], np.float32)
    said = [[detection(a, 0.9, 0), detection(a, 0.7, 0)], [detection(away, 0.8, 0), detection(a, 0.0, -1)]]
    said[0].append(detection(b, 0.6, 0))
    said[1].append(detection(a, 0.0, -1))
    found = average_precisions(np.array(said), truth, 2, threshold=0.5)
    assert found[0] == pytest.approx((51 * 1.0 + 50 * 0.5) / 101), "51 recalls up to 0.5; then 2 of 4 are right"
    assert np.isnan(found[1]), "a class that never is there has no precision"


def test_a_looser_box_counts_only_at_lower_overlaps() -> None:
    truth = np.array([[[0, 0.0, 0.0, 1.0, 1.0]]], np.float32)
    said = np.array([[detection([0.0, 0.0, 1.0, 0.72], 0.9, 0)]])
    assert detection_metrics(said, truth, 1) == pytest.approx({"map_50": 1.0, "map": 5 / 10})


def ideal_grid(targets: Any, rows: int, columns: int, classes: int) -> Any:
    """Return what a perfect network would say of targets."""
    outputs = np.zeros((len(targets), rows, columns, classes + 4), np.float32)
    outputs[..., :classes] = -12.0
    for image, boxes in enumerate(targets):
        for kind, left, top, right, bottom in boxes[boxes[:, 0] >= 0]:
            x, y = (left + right) / 2 * columns, (top + bottom) / 2 * rows
            cell = outputs[image, int(y), int(x)]
            cell[int(kind)] = 12.0
            cell[classes:] = x % 1, y % 1, np.log((right - left) * columns), np.log((bottom - top) * rows)
    return outputs


def test_a_perfect_grid_has_no_loss_and_is_read_back_as_the_targets() -> None:
    targets = np.full((2, 3, 5), -1, np.float32)
    targets[0, :2] = [[0, 0.1, 0.1, 0.3, 0.5], [1, 0.55, 0.4, 0.95, 0.9]]
    targets[1, 0] = [1, 0.3, 0.2, 0.6, 0.5]
    outputs = ideal_grid(targets, rows=6, columns=8, classes=2)
    losses, overlaps = grid_loss(targets, outputs)
    assert np.asarray(losses).max() < 1e-3
    assert np.asarray(overlaps).tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    found = np.asarray(decode_grid(outputs, Grid(rows=6, columns=8), most=5, least=0.1))
    assert found.shape == (2, 5, 7)
    assert found[:, 0, 6].tolist() == [2, 1]
    assert detection_metrics(found, targets, 2) == {"map_50": 1.0, "map": 1.0}
    assert np.all(found[0, 2:, :5] == 0) and np.all(found[0, 2:, 5] == -1), "rows behind the last are empty"
    worse = outputs.copy()
    worse[..., 2:] += 0.5
    assert np.all(np.asarray(grid_loss(targets, worse)[0]) > np.asarray(losses) + 0.1)


def test_scenes_are_the_same_for_the_same_seed_and_boxes_lie_on_them(scenes: Path, tmp_path: Path) -> None:
    write_road_scenes(tmp_path / "again", count=3, seed=1, height=48, width=64)
    for name in ("000000.png", "000002.png"):
        assert (tmp_path / "again" / "images" / name).read_bytes() == (scenes / "images" / name).read_bytes()
    data = load_coco(str(scenes), seed=1, scratch=tmp_path)
    assert data.labels == CLASSES
    for part in (data.train, data.validation, data.test):
        boxes = part.labels[part.labels[..., 0] >= 0]
        assert np.all(boxes[:, 3:] > boxes[:, 1:3]) and boxes[:, 1:].min() >= 0 and boxes[:, 1:].max() <= 1
    assert (len(data.train), len(data.validation), len(data.test)) == (43, 5, 12)
    assert {int(k) for k in data.train.labels[..., 0].ravel()} == {-1, 0, 1, 2}


def test_the_command_writes_scenes_and_overwrites_nothing(tmp_path: Path) -> None:
    out = io.StringIO()
    arguments = ["data", "generate", "road-scenes", "--to", str(tmp_path / "s"), "--count", "2", "--size"]
    call_command(*arguments, "48x48", stdout=out)
    assert "wrote 2 pictures" in out.getvalue()
    with pytest.raises(CommandError, match="is not empty; nothing was written"):
        call_command(*arguments, "48x48")
    with pytest.raises(CommandError, match="--size must be HEIGHTxWIDTH"):
        call_command(*arguments, "48")


def annotate(folder: Path, **changes: Any) -> None:
    """Write a folder of one picture whose annotations are changed."""
    write_road_scenes(folder, count=1, seed=1, height=48, width=64)
    path = folder / "annotations.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": []}, "names no images or no categories"),
        ({"images": [{"id": 0, "file_name": "../../x.png", "height": 48, "width": 64}]}, "lies outside of the folder"),
        ({"images": [{"id": 0, "file_name": "x.png", "height": 48, "width": 64}]}, "image 'x.png' cannot be read"),
        ({"annotations": [{"id": 7, "image_id": 5, "category_id": 1}]}, "annotation 7: there is no such image"),
        (
            {"annotations": [{"id": 8, "image_id": 0, "category_id": 1, "bbox": [1, 1, 0, 5]}]},
            "annotation 8: a box must have a width and a height",
        ),
    ],
)
def test_annotations_that_cannot_be_used_say_which(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    annotate(tmp_path / "one", **changes)
    with pytest.raises(InvalidInputError, match=message):
        load_coco(str(tmp_path / "one"), seed=1, scratch=tmp_path)


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(InvalidInputError, match=r"holds annotations.json; '.*plain' does not"):
        load_coco(str(tmp_path / "plain"), seed=1, scratch=tmp_path)


def test_the_detector_learns_and_serves_boxes(scenes: Path, train: Callable[..., Any]) -> None:
    options = {"epochs": 6, "filters": 8, "most": 8, "learning_rate": 0.01, "least_score": 0.05}
    model, folder, inputs, outputs = train("detector", scenes, **options)
    assert model.task == "object_detection"
    assert model.history[-1]["loss"] < 0.6 * model.history[0]["loss"]
    assert model.history[-1]["iou"] > model.history[0]["iou"] + 0.1
    assert set(model.metrics) == {"map_50", "map"}
    assert {name: array.shape for name, array in outputs.items()} == {
        "count": (8, 1), "boxes": (8, 8, 4), "scores": (8, 8), "classes": (8, 8),
    }  # fmt: skip
    answers = open_as(None, model, folder).run(inputs)
    for spec in model.signature.outputs:
        spec.check(answers[spec.name])
        assert np.allclose(answers[spec.name], outputs[spec.name], atol=1e-3), spec.name
    assert answers["boxes"].max() > 1.5, "in pixels"
    assert np.array_equal(answers["count"][:, 0], (answers["scores"] > 0).sum(axis=1))
    assert set(model.profile.outputs) == {"value"}, "how many there are"
