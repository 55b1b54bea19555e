"""Versions leave in other formats, and the report says what that changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError

from aiplatform.artifacts import decode_manifest
from aiplatform.errors import InvalidInputError
from aiplatform.storage import local_path
from training.cli import exit_codes
from training.cli.exporting import split_reference
from training.data.sources import load_dataset
from training.exporting.child import export
from training.exporting.messages import ExportForm, ExportOrder, HeldOutData, Quantization
from training.exporting.rows import choose_rows
from training.exports import ExportWish, choose_data
from training.models import ModelVersion

from ..importing import makers
from ..importing.conftest import Models

pytestmark = [pytest.mark.long, pytest.mark.django_db]


def run_litert(path: Path, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a .tflite file's answers, by LiteRT alone."""
    from ai_edge_litert.interpreter import Interpreter

    answers = Interpreter(str(path)).get_signature_runner("serving_default")(image=rows)
    return np.asarray(answers["probabilities"])


def test_int8_is_calibrated_on_training_rows_and_measured_on_the_runs_own_test_rows(
    models: Models, trained: ModelVersion, tmp_path: Path
) -> None:
    target, report_file = tmp_path / "out" / "digits.tflite", tmp_path / "report.json"
    options = ["--format", "litert", "--quantize", "int8", "--output", target, "--report", report_file]
    (record,) = models("export", "digits@latest", *options)
    report = record["report"]
    assert json.loads(report_file.read_text()) == report
    test = load_dataset("digits", target=None, seed=3, scratch=tmp_path).test
    assert (report["compared_rows"], report["calibration_rows"], report["data"]) == (len(test), 200, "digits")
    assert report["is_training_data"] is True
    before, after = report["before"], report["after"]
    assert before["metrics"]["accuracy"] > 0.9
    assert abs(after["metrics"]["accuracy"] - before["metrics"]["accuracy"]) <= 0.02
    assert report["agreement"] >= 0.97
    assert 0 < report["mean_difference"] <= 0.02
    assert report["mean_difference"] < report["largest_difference"] <= 0.5
    assert after["size_bytes"] == target.stat().st_size < before["size_bytes"]
    assert min(before["latency_ms"], after["latency_ms"]) > 0
    assert {"tensorflow", "ai-edge-litert"} <= set(report["packages"])
    assert report["machine"]["cores"] >= 1
    assert (tmp_path / "out" / "digits.labels.txt").read_text().splitlines() == [str(n) for n in range(10)]
    inputs, labels = test.rows(slice(None))
    measured = float((run_litert(target, inputs["image"]).argmax(axis=1) == labels).mean())
    assert after["metrics"]["accuracy"] == pytest.approx(measured, abs=1e-9)


def test_int8_io_takes_and_returns_integers_and_is_compared_in_real_numbers(
    models: Models, trained: ModelVersion, tmp_path: Path
) -> None:
    target = tmp_path / "digits.tflite"
    (record,) = models("export", "digits", "--format", "litert", "--quantize", "int8", "--int8-io", "--to", target)
    assert run_litert(target, np.zeros((1, 8, 8, 1), np.int8)).dtype == np.int8
    report = record["report"]
    assert report["agreement"] >= 0.97
    assert report["after"]["metrics"]["accuracy"] > 0.9


def test_without_data_float16_is_compared_on_the_warmup_rows_and_int8_is_refused(
    models: Models, digits: Path, tmp_path: Path
) -> None:
    models("import", digits / "model", "--name", "plain")
    target = tmp_path / "plain.tflite"
    (record,) = models("export", "plain", "--format", "litert", "--quantize", "float16", "--to", target)
    report = record["report"]
    assert (report["compared_rows"], report["data"], report["before"]["metrics"]) == (8, "warm-up rows", {})
    assert report["largest_difference"] <= 0.01
    with pytest.raises(CommandError, match="int8 needs representative rows") as refusal:
        models("export", "plain", "--format", "litert", "--quantize", "int8", "--to", tmp_path / "n.tflite")
    assert refusal.value.returncode == exit_codes.USAGE
    assert not (tmp_path / "n.tflite").exists()


def test_training_data_that_has_changed_is_said_and_that_is_away_is_done_without(
    trained: ModelVersion, tmp_path: Path
) -> None:
    wish = ExportWish(form=ExportForm.LITERT, target=tmp_path / "x")
    order = make_order(trained, choose_data(trained, wish))
    assert choose_rows(order, tmp_path).is_training_data is True
    changed = make_order(trained, HeldOutData(uri="digits", fingerprint="sha256:other", is_own=True))
    assert choose_rows(changed, tmp_path).is_training_data is False
    gone = make_order(trained, HeldOutData(uri=str(tmp_path / "gone.npz"), is_own=True))
    rows = choose_rows(gone, tmp_path)
    assert (rows.source.startswith("warm-up rows, since "), rows.truth, len(rows.measured["image"])) == (True, None, 8)
    with pytest.raises(InvalidInputError, match="name other representative rows with --data or --samples"):
        choose_rows(replace(gone, quantize=Quantization.INT8), tmp_path)
    with pytest.raises(InvalidInputError, match=r"there is no data at .*gone\.npz"):
        choose_rows(make_order(trained, HeldOutData(uri=str(tmp_path / "gone.npz"))), tmp_path)


def test_rows_that_calibrate_are_never_measured_on(trained: ModelVersion, digits: Path, tmp_path: Path) -> None:
    wish = ExportWish(form=ExportForm.LITERT, target=tmp_path / "x", samples=digits / "rows.npz")
    rows = choose_rows(make_order(trained, choose_data(trained, wish)), tmp_path)
    calibration, measured = rows.calibration["image"], rows.measured["image"]
    assert (len(calibration), len(measured), rows.truth is not None) == (200, 1597, True)
    together = np.concatenate([calibration, measured]).reshape(1797, -1)
    with np.load(digits / "rows.npz") as given:
        everything = given["x"].reshape(1797, -1)
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(everything, axis=0))


def make_order(version: ModelVersion, data: HeldOutData | None) -> ExportOrder:
    """Return an order for a version's artifact."""
    folder = local_path(version.artifact_uri)
    manifest = decode_manifest((folder / "manifest.json").read_bytes())
    return ExportOrder(artifact=str(folder), manifest=manifest, form=ExportForm.LITERT, data=data)


def test_onnx_answers_as_the_saved_model_does(models: Models, trained: ModelVersion, tmp_path: Path) -> None:
    import onnxruntime

    (record,) = models("export", "digits", "--format", "onnx", "--to", tmp_path / "digits.onnx")
    report = record["report"]
    assert (report["agreement"], report["largest_difference"] < 1e-5) == (1.0, True)
    session = onnxruntime.InferenceSession(str(tmp_path / "digits.onnx"))
    (answers,) = session.run(["probabilities"], {"image": np.zeros((3, 8, 8, 1), np.float32)})
    assert answers.shape == (3, 10)


@pytest.mark.torch
def test_an_exported_program_becomes_onnx_and_never_litert(models: Models, tmp_path: Path) -> None:
    models("import", makers.make_program(tmp_path / "tiny.pt2"), "--name", "tiny")
    (record,) = models("export", "tiny", "--format", "onnx", "--to", tmp_path / "tiny.onnx")
    assert (record["report"]["agreement"], record["report"]["largest_difference"] < 1e-5) == (1.0, True)
    with pytest.raises(CommandError, match="can be exported as artifact, onnx, not as litert"):
        models("export", "tiny", "--format", "litert", "--to", tmp_path / "other.tflite")


def test_a_saved_model_is_copied_as_it_is(models: Models, trained: ModelVersion, tmp_path: Path) -> None:
    models("export", "digits@1", "--format", "saved_model", "--to", tmp_path / "copy")
    assert {"saved_model.pb", "variables"} <= {path.name for path in (tmp_path / "copy").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "onnx", "--quantize", "int8"], "--quantize int8 is for --format litert, not onnx"),
        (["--format", "litert", "--int8-io"], "--int8-io is for --quantize int8"),
        (["--format", "litert", "--data", "digits", "--samples", "x.npz"], "--data or --samples, not both"),
        (["--report", "r.json"], "changes nothing, so there is no --report"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(
    models: Models, tmp_path: Path, arguments: list[str], words: str
) -> None:
    with pytest.raises(CommandError, match=words) as refusal:
        models("export", "digits", "--to", tmp_path / "x", *arguments)
    assert refusal.value.returncode == exit_codes.USAGE


def test_nothing_is_written_over(models: Models, trained: ModelVersion, tmp_path: Path) -> None:
    (tmp_path / "mine.tflite").write_text("precious")
    with pytest.raises(CommandError, match="exist already") as refusal:
        models("export", "digits", "--format", "litert", "--to", tmp_path / "mine.tflite")
    (tmp_path / "other.labels.txt").write_text("hers\n")
    with pytest.raises(CommandError, match="labels beside it, exist already"):
        models("export", "digits", "--format", "litert", "--to", tmp_path / "other.tflite")
    assert (refusal.value.returncode, (tmp_path / "mine.tflite").read_text()) == (exit_codes.FAILED, "precious")


def test_a_version_is_named_once() -> None:
    assert split_reference("digits", "") == ("digits", "latest")
    assert split_reference("digits@champion", "") == ("digits", "champion")
    assert split_reference("digits", "3") == ("digits", "3")
    with pytest.raises(Exception, match="name the version once"):
        split_reference("digits@champion", "3")


def test_an_imported_version_is_measured_on_the_samples_that_it_came_with(
    trained: ModelVersion, digits: Path, tmp_path: Path
) -> None:
    trained.manifest["lineage"] |= {
        "recipe": "import", "data_uri": str(digits / "rows.npz"), "parameters": {"target": "y"},
    }  # fmt: skip
    wish = ExportWish(form=ExportForm.LITERT, target=tmp_path / "x", quantize=Quantization.INT8)
    found = choose_data(trained, wish)
    assert found == HeldOutData(samples=str(digits / "rows.npz"), target="y", seed=3, is_own=True)
    trained.manifest["lineage"]["data_uri"] = str(tmp_path / "gone.npz")
    with pytest.raises(InvalidInputError, match="imported without sample data that is still there"):
        choose_data(trained, wish)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # PyTorch's exporter warns of itself
def test_what_a_program_computes_for_monitoring_alone_is_not_in_its_onnx_file(tmp_path: Path) -> None:
    import onnxruntime

    from tests.inference.compiling.models import TORCH_MANIFEST, write_torch_artifact

    artifact = write_torch_artifact(tmp_path / "artifact")
    (tmp_path / "work").mkdir()
    order = ExportOrder(artifact=str(artifact), manifest=TORCH_MANIFEST, form=ExportForm.ONNX)
    report = export(order, tmp_path / "work")
    assert (report.compared_rows, report.largest_difference < 1e-5) == (5, True)
    session = onnxruntime.InferenceSession(str(tmp_path / "work" / "out" / "model.onnx"))
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
