"""Keras recipes on other backends than TensorFlow: they learn, resume, and what they export is served as always.

Keras takes one backend for a whole process, so each learns in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import Lineage, Manifest, read_arrays
from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines import EngineOptions, native_kind, open_engine
from tests.training.data.customers import write_customers, write_rents
from tests.training.data.pictures import write_bars
from tests.training.recipes.test_forecaster import write_load
from tests.training.recipes.test_text_classifier import write_tickets
from training.cli.arguments import read_parameters
from training.data.road_scenes import write_road_scenes
from training.recipes.keras_backends import import_keras
from training.recipes.keras_texts import cut_model
from training.recipes.registry import get_recipe, resolve_parameters

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
PROJECT = Path(__file__).parents[3]
SCRIPT = """
import json, os, sys
from pathlib import Path
import numpy as np
from aiplatform.artifact_staging import stage_artifact
from aiplatform.errors import PlatformError
from tests.training.recipes.reporters import RememberingReporter
from training.learning import learn
from training.recipes.api import StopRequestedError, TrainingOrder

told = []
for case in json.loads(sys.argv[1]):
    folder = Path(case["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    order = TrainingOrder(recipe=case["recipe"], parameters=case["parameters"], data_uri=case["data"],
                          target=case.get("target"), seed=3, work_dir=folder)
    try:
        model = learn(order, RememberingReporter(stop_at=tuple(case["stop_at"]) if "stop_at" in case else None))
    except StopRequestedError:
        told.append({"stopped": True})
        continue
    except PlatformError as error:
        told.append({"refused": str(error)})
        continue
    if case.get("write", True):
        with stage_artifact(str(folder / "place")) as staged:
            model.write_to(staged)
            staged.folder.rename(folder / "artifact")
    spec = lambda s: [s.name, s.dtype.value, list(s.shape)]
    told.append({
        "metrics": dict(model.metrics), "task": model.task, "framework": model.framework, "form": model.model_format,
        "labels": list(model.labels), "inputs": [spec(s) for s in model.signature.inputs],
        "outputs": [spec(s) for s in model.signature.outputs], "backend": model.parameters["backend"],
        "embedding": spec(model.embedding) if model.embedding else None, "history": [dict(e) for e in model.history],
    })
print("TOLD" + json.dumps(told))
sys.stdout.flush()
os._exit(0)
"""
BACKENDS = [
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("jax", marks=pytest.mark.jax),
]


def run(backend: str, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -r requirements-{backend}.txt")
    for case in cases:
        case["parameters"] = {"backend": backend, **case["parameters"]}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(cases)],
        cwd=PROJECT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("TOLD")), "")
    assert line, done.stdout[-3000:] + done.stderr[-3000:]
    told: list[dict[str, Any]] = json.loads(line.removeprefix("TOLD"))
    return told


def assert_served(told: dict[str, Any], folder: Path) -> None:
    """See that the exported model answers as the learner did, by the serving side's own engine."""

    def spec(parts: list[Any]) -> TensorSpec:
        return TensorSpec(name=parts[0], dtype=DType(parts[1]), shape=tuple(parts[2]))

    lineage = Lineage(
        run_id="", recipe="", parameters={}, data_uri="", data_fingerprint="", code_commit="", packages={}, seed=0
    )
    manifest = Manifest(
        name="tried", version=1, framework=told["framework"], model_format=told["form"], task=told["task"],
        signature=Signature(inputs=tuple(map(spec, told["inputs"])), outputs=tuple(map(spec, told["outputs"]))),
        lineage=lineage, labels=tuple(told["labels"]), embedding=spec(told["embedding"]) if told["embedding"] else None,
    )  # fmt: skip
    engine = open_engine(native_kind(manifest), folder / "artifact" / "model", manifest, EngineOptions(threads=1))
    found = engine.run(read_arrays(folder / "artifact/warmup/inputs.npz"))
    wanted = read_arrays(folder / "artifact/warmup/outputs.npz")
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert np.allclose(found[name], array, rtol=1e-3, atol=1e-4), name


def orders_in(folder: Path) -> list[dict[str, Any]]:
    """Write small data and return an order for each recipe."""
    write_bars(folder / "bars.npz", rows=300, size=8)
    write_bars(folder / "large.npz", rows=60, size=32)
    write_load(folder / "load.csv", steps=400)
    write_tickets(folder / "tickets.csv", rows=300)
    write_road_scenes(folder / "scenes", count=24, seed=1, height=48, width=64)
    rents = folder / "rents.csv"
    write_rents(rents)
    cases: list[dict[str, Any]] = [
        {"recipe": "keras_cnn", "data": "bars.npz", "parameters": {"epochs": 4, "augment": "shift=1"}},
        {"recipe": "keras_cnn", "data": "bars.npz", "parameters": {
            "epochs": 2, "pieces": 2, "clip_norm": 1.0, "precision": "bfloat16", "class_weights": "balanced"}},
        {"recipe": "keras_tabular", "data": "rents.csv", "target": "rent", "parameters": {"epochs": 4}},
        {"recipe": "forecaster", "data": "load.csv", "target": "load", "parameters": {
            "epochs": 2, "window": 24, "horizon": 6, "season": 12}},
        {"recipe": "detector", "data": "scenes", "parameters": {"epochs": 1, "filters": 8}},
        {"recipe": "image_transfer", "data": "large.npz", "parameters": {"epochs": 1, "weights": "none", "size": 32}},
        {"recipe": "tests.training.recipes.noisy_recipe:Noisy", "data": "bars.npz", "parameters": {"epochs": 1}},
        {"recipe": "text_classifier", "data": "tickets.csv", "target": "subject", "parameters": {
            "text": "message", "epochs": 3, "ngrams": 2, "length": 12}},
    ]  # fmt: skip
    for number, case in enumerate(cases):
        case |= {"folder": str(folder / f"case-{number}"), "data": str(folder / case["data"])}
    return cases


@pytest.mark.e2e
@pytest.mark.long(takes_minutes=True)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", BACKENDS)
def test_recipes_in_keras_learn_on_other_backends_and_are_served_alike(backend: str, tmp_path: Path) -> None:
    told = run(backend, orders_in(tmp_path))
    for number, one in enumerate(told):
        assert "refused" not in one, one
        assert (one["framework"], one["form"], one["backend"]) == ("tensorflow", "saved_model", backend)
        assert_served(one, tmp_path / f"case-{number}")
    assert told[0]["metrics"]["accuracy"] > 0.9
    assert told[2]["history"][-1]["loss"] < told[2]["history"][0]["loss"]
    assert told[3]["metrics"]["skill"] > -0.5


@pytest.mark.e2e
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cut_training_ends_with_the_state_of_an_unbroken_one(backend: str, tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz", rows=200, size=8)
    write_customers(tmp_path / "customers.csv", classes=2)
    orders: dict[str, dict[str, Any]] = {
        "pictures": {"recipe": "keras_cnn", "data": str(tmp_path / "bars.npz"), "parameters": {
            "epochs": 2, "schedule": "cosine", "warmup": 0.2, "precision": "bfloat16"}},
        "own": {"recipe": "tests.training.recipes.noisy_recipe:Noisy", "data": str(tmp_path / "bars.npz"),
                "parameters": {"epochs": 2}},
        "rows": {"recipe": "keras_tabular", "data": str(tmp_path / "customers.csv"), "target": "class",
                 "parameters": {"epochs": 2, "keep": "best", "patience": 5}},
    }  # fmt: skip
    whole, cut = (
        [{**order, "folder": str(tmp_path / way / name), "write": False} for name, order in orders.items()]
        for way in ("whole", "cut")
    )
    told = run(backend, [*whole, *({**order, "stop_at": [2, 3]} for order in cut)])
    assert [one.get("stopped", False) for one in told] == [False] * 3 + [True] * 3, told
    resumed = run(backend, cut)  # in a process that knows nothing of the first
    for name, before, after in zip(orders, told, resumed, strict=False):
        assert after["history"] == before["history"], name
        states = [last_state(tmp_path / way / name) for way in ("whole", "cut")]
        assert states[0].keys() == states[1].keys()
        for key, array in states[0].items():
            assert np.array_equal(array, states[1][key]), (name, key)


@pytest.mark.e2e
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_in_pieces_is_the_step_and_a_gradient_is_cut_to_its_longest(backend: str, tmp_path: Path) -> None:
    """Adam forgets lengths, so what shows is its epsilon: gradients of 1e-12 hardly move a weight."""
    write_bars(tmp_path / "bars.npz", rows=200, size=8)
    chosen: dict[str, dict[str, Any]] = {"whole": {}, "pieces": {"pieces": 4}, "still": {"clip_norm": 1e-12}}
    orders = [
        {"recipe": "keras_cnn", "data": str(tmp_path / "bars.npz"), "folder": str(tmp_path / name), "write": False,
         "parameters": {"epochs": 1, "batch_size": 30, "dropout": 0.0, **more}}
        for name, more in chosen.items()
    ]  # fmt: skip
    whole, pieces, still = (one["history"][0] for one in run(backend, orders))
    assert pieces == pytest.approx(whole, rel=1e-3)
    assert still["val_loss"] > whole["val_loss"] + 0.1


def last_state(folder: Path) -> dict[str, Any]:
    """Return the learner's state in the newest checkpoint."""
    newest = max((place for place in folder.glob("checkpoints/0*") if place.is_dir()), key=lambda place: place.name)
    with np.load(newest / "learner", allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def test_several_processes_on_a_backend_that_cannot_share_are_refused_before_anything_starts() -> None:
    assert resolve_parameters("keras_cnn", {"backend": "torch", "workers": 2})["workers"] == 2
    with pytest.raises(InvalidConfigurationError, match="'workers' must be 1 with backend=jax, not 4"):
        resolve_parameters("keras_cnn", {"backend": "jax", "workers": 4})


def test_texts_must_go_into_a_layer_of_their_own() -> None:
    import keras

    first, second = (keras.Input((1,), dtype="string", name=name) for name in ("job", "town"))
    both = keras.layers.Concatenate(name="joined")([first, second])
    model = keras.Model({"job": first, "town": second}, keras.layers.StringLookup(vocabulary=["a"])(both))
    with pytest.raises(InvalidConfigurationError, match=r"texts of 'job' alone .* which 'joined' does not"):
        cut_model(model)


def test_a_network_behind_its_lookups_answers_as_the_whole_one() -> None:
    import keras
    import tensorflow as tf

    job, age = keras.Input((1,), dtype="string", name="job"), keras.Input((1,), name="age")
    known = keras.layers.StringLookup(vocabulary=["cook", "pilot"], output_mode="one_hot")(job)
    words = keras.layers.TextVectorization(vocabulary=["co", "ok"], output_sequence_length=3)(job)
    vectors = keras.layers.Flatten()(keras.layers.Embedding(4, 2)(words))
    answer = keras.layers.Dense(2)(keras.layers.Concatenate()([known, vectors, age]))
    model = keras.Model({"job": job, "age": age}, answer)
    rows = {"job": np.array([["cook"], ["Co ok"], [""]], dtype=object), "age": np.array([[1], [2], [3]], np.float32)}
    cut = cut_model(model)
    assert set(cut.read(rows)) == {"job", "job.1", "age"}
    assert [variable.path for variable in cut.network.variables] == [variable.path for variable in model.variables]
    wanted = model({name: tf.constant(array) for name, array in rows.items()})
    assert np.array_equal(cut.network(cut.read(rows)), wanted)


def test_a_backend_that_is_not_installed_is_named_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else known(name))
    with pytest.raises(InvalidConfigurationError, match=r"'jax', which is not installed .* requirements-jax\.txt"):
        import_keras("jax")


def test_a_process_that_has_keras_on_one_backend_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    assert keras.config.backend() == "tensorflow"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("KERAS_BACKEND", "mine")
    with pytest.raises(InvalidConfigurationError, match="backend must be tensorflow, not torch: this process has"):
        import_keras("torch")
    assert os.environ["KERAS_BACKEND"] == "mine", "for whom is started from here"


def test_recipes_say_what_they_can_choose() -> None:
    for name in ("keras_cnn", "keras_tabular", "text_classifier", "forecaster", "image_transfer", "detector"):
        assert resolve_parameters(name, {})["backend"] == "tensorflow"
    assert "backend" not in [parameter.name for parameter in get_recipe("torch_cnn").parameters]
    with pytest.raises(InvalidConfigurationError, match="'backend' must be one of tensorflow, torch, jax, not 'mxnet'"):
        resolve_parameters("keras_cnn", {"backend": "mxnet"})


def test_the_command_takes_the_backend_once() -> None:
    assert read_parameters({"pairs": [["epochs=2"]], "backend": "torch"}) == {"epochs": "2", "backend": "torch"}
    with pytest.raises(InvalidInputError, match="--backend and --set backend="):
        read_parameters({"pairs": [["backend=jax"]], "backend": "torch"})
