"""Models of each format come in, with what the registry, serving and monitoring need of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError

from aiplatform.artifacts import Manifest, read_arrays, read_calibration, verify_artifact
from aiplatform.contracts.inference import DeployVersion
from aiplatform.errors import InvalidInputError, UnavailableError
from aiplatform.profiles import DataProfile
from aiplatform.storage import local_path
from inference.loaded import load_version
from training import deployment, registry, selectors
from training.api.internal import version_info
from training.cli import exit_codes
from training.import_publishing import clear_abandoned_imports
from training.models import ModelVersion, RegisteredModel
from training.runtimes import ModelForm, RuntimeOptions, open_runtime

from . import makers
from .conftest import Models

pytestmark = [pytest.mark.long, pytest.mark.django_db]


def open_artifact(record: dict[str, Any]) -> tuple[Path, Manifest]:
    """Return a version's verified folder and manifest; its warm-up is what the model answers."""
    folder = local_path(record["artifact_uri"])
    manifest = verify_artifact(folder, digest=record["artifact_digest"])
    inputs, outputs = read_arrays(folder / "warmup/inputs.npz"), read_arrays(folder / "warmup/outputs.npz")
    np.testing.assert_allclose(next(iter(outputs.values())), makers.answers(next(iter(inputs.values()))), atol=1e-5)
    return folder, manifest


def serve(record: dict[str, Any], x: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Answer rows with the serving engine; loading checks the warm-up rows."""
    folder, manifest = open_artifact(record)
    info = version_info(selectors.get_version(record["model"], "latest"))
    loaded = load_version(endpoint="tiny", info=info, folder=folder)
    try:
        name = manifest.signature.inputs[0].name
        return dict(loaded.queue.run_blocking({name: x.astype(np.float32)}, deadline=time.monotonic() + 20))
    finally:
        loaded.close()


def test_an_onnx_file_comes_with_weights_beside_it_labels_accuracy_and_profile(models: Models, tmp_path: Path) -> None:
    import onnxruntime

    source = tmp_path / "mine"
    source.mkdir()
    makers.make_onnx(source / "tiny.onnx", external="weights.bin")
    (source / "notes.txt").write_text("not the model's")
    samples = makers.make_samples(tmp_path / "rows.npz")
    (record,) = models(
        "import", source / "tiny.onnx", "--name", "tiny", "--samples", samples, "--labels", "ant,bee,cat",
        "--alias", "champion",
    )  # fmt: skip
    folder, manifest = open_artifact(record)
    session = onnxruntime.InferenceSession(str(folder / "model" / "model.onnx"))
    inputs, outputs = read_arrays(folder / "warmup/inputs.npz"), read_arrays(folder / "warmup/outputs.npz")
    np.testing.assert_allclose(session.run(None, inputs)[0], outputs["probabilities"], rtol=1e-5)
    assert sorted(p.name for p in (folder / "model").iterdir()) == ["model.onnx", "weights.bin"]
    assert (manifest.framework, manifest.model_format, manifest.task) == ("onnx", "onnx", "tabular_classification")
    assert (manifest.labels, record["aliases"], record["metrics"]) == (
        ("ant", "bee", "cat"),
        ["champion"],
        {"accuracy": 0.75},
    )
    assert (manifest.lineage.run_id, manifest.lineage.recipe, manifest.lineage.parameters["source"]) == (
        "", "import", "tiny.onnx",
    )  # fmt: skip
    assert manifest.lineage.data_fingerprint.startswith("sha256:")
    profile = DataProfile.from_dict(json.loads((folder / "profile/profile.json").read_text()))
    assert (profile.rows, sorted(profile.features)) == (40, ["x[0]", "x[1]", "x[2]", "x[3]"])
    assert sorted(profile.outputs) == ["confidence", "label"]
    assert version_info(selectors.get_version("tiny", "champion")).run_id == ""


def test_samples_with_labels_say_how_often_a_confidence_is_right(models: Models, tmp_path: Path) -> None:
    source = makers.make_onnx(tmp_path / "tiny.onnx")
    x = np.random.default_rng(9).standard_normal((300, 4)).astype(np.float32)
    truth = makers.answers(x).argmax(axis=1)
    truth[::4] = (truth[::4] + 1) % 3
    np.savez(tmp_path / "rows.npz", x=x, y=truth)
    (record,) = models("import", source, "--name", "tiny", "--samples", tmp_path / "rows.npz")
    found = read_calibration(open_artifact(record)[0])
    assert found is not None
    assert (found.subject, found.rows, found.accuracy) == ("confidence", 300, 0.75)


def test_a_keras_file_becomes_a_saved_model_that_serves(models: Models, tmp_path: Path) -> None:
    (record,) = models("import", makers.make_keras(tmp_path / "tiny.keras"), "--name", "tiny")
    x = np.random.default_rng(2).standard_normal((5, 4))
    np.testing.assert_allclose(serve(record, x)["output"], makers.answers(x), atol=1e-5)
    assert (record["framework"], record["sample_rows"]) == ("tensorflow", 0)
    assert "profile/profile.json" not in open_artifact(record)[1].files


def test_a_saved_model_serves_by_the_signature_that_was_chosen(models: Models, tmp_path: Path, made: Path) -> None:
    if not (made / "saved").exists():
        makers.make_saved_model(made / "saved")
    (made / "saved" / "junk.log").write_text("not the model's")
    (record,) = models("import", made / "saved", "--name", "tiny")
    x = np.random.default_rng(3).standard_normal((3, 4))
    np.testing.assert_allclose(serve(record, x)["probabilities"], makers.answers(x), atol=1e-5)
    assert "model/junk.log" not in open_artifact(record)[1].files
    raw = open_runtime(ModelForm.SAVED_MODEL, made / "saved", RuntimeOptions(signature_name="raw"))
    assert [spec.name for spec in raw.outputs] == ["logits"]
    with pytest.raises(InvalidInputError, match="no signature 'other'; it has: raw, serving_default"):
        open_runtime(ModelForm.SAVED_MODEL, made / "saved", RuntimeOptions(signature_name="other"))


def test_a_litert_file_is_kept_as_it_is(models: Models, tmp_path: Path, made: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    if not (made / "saved").exists():
        makers.make_saved_model(made / "saved")
    path = makers.make_litert(tmp_path / "tiny.tflite", made / "saved")
    (record,) = models("import", path, "--name", "tiny")
    folder, manifest = open_artifact(record)
    assert (folder / "model" / "model.tflite").read_bytes() == path.read_bytes()
    runner = Interpreter(str(folder / "model" / "model.tflite")).get_signature_runner("serving_default")
    inputs = read_arrays(folder / "warmup/inputs.npz")
    np.testing.assert_allclose(runner(**inputs)["probabilities"], makers.answers(inputs["x"]), atol=1e-5)
    assert (manifest.framework, manifest.signature.inputs[0].shape) == ("litert", (-1, 4))


@pytest.mark.torch
def test_an_exported_program_and_torchscript_serve(models: Models, tmp_path: Path) -> None:
    x = np.random.default_rng(4).standard_normal((6, 4))
    (program,) = models("import", makers.make_program(tmp_path / "tiny.pt2"), "--name", "tiny")
    np.testing.assert_allclose(serve(program, x)["output"], makers.answers(x), atol=1e-5)
    (tmp_path / "signature.json").write_text(makers.SIGNATURE)
    script = makers.make_script(tmp_path / "tiny.pt")
    with pytest.raises(CommandError, match="does not say its inputs' shapes; give them with --signature"):
        models("import", script, "--name", "tiny")
    (second,) = models("import", script, "--name", "tiny", "--signature", tmp_path / "signature.json")
    np.testing.assert_allclose(serve(second, x)["output"], makers.answers(x), atol=1e-5)
    assert (second["version"], second["framework"]) == (2, "torch")


def test_a_fixed_batch_is_kept_and_said(models: Models, tmp_path: Path) -> None:
    (record,) = models("import", makers.make_onnx(tmp_path / "one.onnx", batch=1), "--name", "one")
    folder, manifest = open_artifact(record)
    assert manifest.signature.inputs[0].shape == (1, 4)
    assert len(read_arrays(folder / "warmup/inputs.npz")["x"]) == 1
    assert any("batch is fixed" in note for note in record["notes"])


def test_a_refused_import_leaves_nothing_and_the_next_gets_the_next_number(
    models: Models, tmp_path: Path, settings: Any
) -> None:
    path = makers.make_onnx(tmp_path / "tiny.onnx")
    with pytest.raises(CommandError, match=r"names 2 labels; the first output.* has 3 classes") as refusal:
        models("import", path, "--name", "tiny", "--labels", "a,b")
    assert refusal.value.returncode == exit_codes.USAGE
    assert not ModelVersion.objects.exists()
    assert not list((tmp_path / "data" / "model-work").iterdir())
    settings.ARTIFACT_STORE = f"file://{tmp_path / 'tiny.onnx'}"  # a file, where no folder can be made
    with pytest.raises(CommandError, match="could not stage") as failure:
        models("import", path, "--name", "tiny")
    assert failure.value.returncode == exit_codes.FAILED
    assert not ModelVersion.objects.exists()
    settings.ARTIFACT_STORE = f"file://{tmp_path}/artifacts"
    assert models("import", path, "--name", "tiny")[0]["version"] == 2


def test_what_a_killed_import_left_is_cleared_by_a_later_one(tmp_path: Path, settings: Any) -> None:
    settings.ARTIFACT_STORE = f"file://{tmp_path}/artifacts"
    version = registry.reserve_import(model_name="tiny")
    place = local_path(version.artifact_uri)
    place.mkdir(parents=True)
    (place / "half").write_text("of it")
    clear_abandoned_imports("tiny", older_s=60)
    assert ModelVersion.objects.count() == 1, "it may still be going on"
    clear_abandoned_imports("tiny", older_s=0)
    assert (ModelVersion.objects.count(), place.exists()) == (0, False)
    assert RegisteredModel.objects.get().last_version == 1


class FakeInference:
    """Is away."""

    def deploy_version(self, order: DeployVersion) -> None:
        """Refuse."""
        raise UnavailableError(f"nobody is there to take {order.model}")


def test_a_deployment_that_is_not_taken_has_its_own_exit_code(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "inference_client", FakeInference)
    with pytest.raises(CommandError, match="registered and not deployed: nobody is there") as failure:
        models("import", makers.make_onnx(tmp_path / "tiny.onnx"), "--name", "tiny", "--deploy")
    assert failure.value.returncode == exit_codes.NOT_DEPLOYED
    assert selectors.get_version("tiny", "latest").version == 1
