"""No skew between training and serving, for each recipe that comes along.

Rows as they lie in the files go through the wire format and the serving side's engine, and must get the outputs that
training's own evaluation got: whatever is done to a row before the network is inside the served model.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aiplatform.artifacts import Lineage, Manifest
from inference.engines import load_engine
from inference.protocols.tf_serving import decode_predict
from tests.training.data.pictures import NAMES, make_bars
from training.recipes.api import TrainedModel
from training.recipes.registry import SHIPPED, get_recipe

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*"),
]
ROWS = 100
# Those of series and of boxes have tests of their own, which send raw rows to a model that was written and read again.
RECIPES = [name for name in SHIPPED if get_recipe(name).data_kind in ("images", "table")]
PARAMETERS: dict[str, dict[str, Any]] = {"image_transfer": {"weights": "none", "size": 32}}
AUGMENTED = ("keras_cnn", "torch_cnn")  # which the served model must know nothing of


def write_rows(path: Path) -> list[dict[str, Any]]:
    """Write a table with what is awkward in rows; return its last fifth as a client would send them."""
    random = np.random.default_rng(8)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Income (k)", "job", "risk"])
        for row in range(ROWS):
            income = "" if row % 9 == 0 else f"{1e6 * random.random():.2f}" if row % 5 else "0"
            job = ("", "Cook, head", "cl\u00e9rk", "COOK")[row % 4]
            writer.writerow([income, job, ("good", "bad")[row % 2]])
    with path.open(newline="") as file:
        last = list(csv.DictReader(file))[ROWS * 4 // 5 :]
    numbers = [float(row["Income (k)"] or "nan") for row in last]
    return [{"Income__k_": [n], "job": [row["job"]]} for n, row in zip(numbers, last, strict=True)]


def write_images(folder: Path) -> list[Any]:
    """Write image files in train/ and test/; return those of the test as a client would send them."""
    pixels, labels = make_bars(ROWS, size=8)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / ("test" if number % 5 == 0 else "train") / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{number:03d}.png")
    return [np.asarray(Image.open(path))[..., None].tolist() for path in sorted(folder.glob("test/*/*.png"))]


def manifest_of(model: TrainedModel) -> Manifest:
    """Return what publishing would write of the model, as far as an engine asks."""
    lineage = Lineage(
        run_id="", recipe="", parameters={}, data_uri="", data_fingerprint="", code_commit="", packages={}, seed=0
    )
    return Manifest(
        name="tried", version=1, framework=model.framework, model_format=model.model_format, task=model.task,
        signature=model.signature, lineage=lineage, labels=model.labels, image=model.image, text_bytes=model.text_bytes,
        embedding=model.embedding,
    )  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.torch if "torch" in n else ()) for n in RECIPES])
def test_raw_rows_are_answered_as_training_evaluated_them(name: str, train: Callable[..., Any], tmp_path: Path) -> None:
    recipe = get_recipe(name)
    if recipe.framework == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install -r requirements-torch.txt")
    more: dict[str, Any] = {"epochs": 1, **PARAMETERS.get(name, {})}
    if recipe.data_kind == "table":
        rows: list[Any] = write_rows(tmp_path / "rows.csv")
        uri, more = f"{tmp_path}/rows.csv?split=ordered", {**more, "target": "risk"}
    else:
        rows, uri = write_images(tmp_path / "images"), str(tmp_path / "images")
        more |= {"augment": "flip,rotate=20,noise=20"} if name in AUGMENTED else {}
    model, folder, _, outputs = train(name, uri, **more)
    named = {spec.name for spec in model.signature.inputs}
    if recipe.data_kind == "table":  # a recipe may use some of the columns
        rows = [{key: value for key, value in row.items() if key in named} for row in rows]
    engine = load_engine(folder, manifest_of(model))
    request = decode_predict(json.dumps({"instances": rows}).encode(), model.signature)
    answered = engine.run(request.inputs)
    engine.close()
    for output, expected in outputs.items():
        assert np.allclose(answered[output][: len(expected)], expected, atol=1e-5), output
    if "accuracy" in model.metrics:
        truth = _truth(recipe.data_kind, tmp_path)
        said = [model.labels[place] for place in answered["probabilities"].argmax(axis=1)]
        assert np.isclose(np.mean([a == b for a, b in zip(said, truth, strict=True)]), model.metrics["accuracy"])


def _truth(kind: str, folder: Path) -> list[str]:
    if kind == "images":
        return [path.parent.name for path in sorted((folder / "images").glob("test/*/*.png"))]
    with (folder / "rows.csv").open(newline="") as file:
        return [row["risk"] for row in csv.DictReader(file)][ROWS * 4 // 5 :]
