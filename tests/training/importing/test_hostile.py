"""Broken and hostile files are refused with a reason, unread where reading would run their code."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError

from aiplatform.errors import InvalidInputError
from aiplatform.torch_archive import check_program, is_arithmetic
from training.cli import exit_codes
from training.importing.sources import find_form
from training.models import ModelVersion
from training.runtimes import ModelForm, RuntimeOptions, open_runtime
from training.runtimes.base import GivenSignature

from . import makers
from .conftest import Models


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self._marker,)


def write(path: Path, raw: bytes) -> Path:
    """Write a file and return it."""
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("m.onnx", b"\x08\x07garbage", "cannot be read as an ONNX model"),
        ("m.onnx", b"", "ONNX"),
        ("m.tflite", b"", "no LiteRT file"),
        ("m.tflite", b"\x20\0\0\0TFL3" + b"\xff" * 64, "cannot be read as a LiteRT model"),
        ("m.keras", b"PK\x03\x04 cut", "neither a .keras archive nor an HDF5 file"),
        ("m.h5", b"\x89HDF\r\n\x1a\n cut", "cannot be read as a Keras file"),
        ("m.pt2", b"PK\x03\x04 cut", "cut, or no archive"),
        ("m.pt", b"not a model", "cut, or no archive"),
        ("saved_model", b"\xff\xff\xff", "cannot be read as a SavedModel"),
    ],
)
def test_a_broken_file_is_refused_with_its_name(tmp_path: Path, name: str, raw: bytes, words: str) -> None:
    forms = {
        ".onnx": ModelForm.ONNX, ".tflite": ModelForm.LITERT, ".keras": ModelForm.KERAS, ".h5": ModelForm.KERAS,
        ".pt2": ModelForm.TORCH_EXPORT, ".pt": ModelForm.TORCHSCRIPT, "": ModelForm.SAVED_MODEL,
    }  # fmt: skip
    path = tmp_path / name
    if path.suffix:
        write(path, raw)
    else:
        path.mkdir()
        write(path / "saved_model.pb", raw)
    with pytest.raises(InvalidInputError, match=words):
        open_runtime(forms[path.suffix], path)


@pytest.mark.parametrize("form", [ModelForm.TORCH_EXPORT, ModelForm.TORCHSCRIPT])
def test_a_pickle_is_never_executed(tmp_path: Path, form: ModelForm) -> None:
    marker = tmp_path / "was-run"
    path = write(tmp_path / "m.pt", pickle.dumps(Evil(marker)))
    with pytest.raises(InvalidInputError, match=r"is a pickle, which would run code .* torch\.export\.save"):
        open_runtime(form, path, RuntimeOptions(given=GivenSignature()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # as torch.save writes it
        archive.writestr("m/data.pkl", pickle.dumps(Evil(marker)))
        archive.writestr("m/version", "3")
    with pytest.raises(InvalidInputError, match=r"torch\.export\.save"):
        open_runtime(form, write(tmp_path / "n.pt", buffer.getvalue()))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.bin"])
def test_a_file_that_only_a_pickle_reader_could_read_is_no_model(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="pickles run code when they are loaded and are never read"):
        find_form(write(tmp_path / name, b"x"), None)


def program_with(path: Path, document: dict[str, Any], *, name: str = "m/models/model.json") -> Path:
    """Write what looks like an exported program with a document of ours."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr(name, json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"guards_code": ["__import__('os').system('true')"]}, "has code where a shape should be"),
        ({"a": [{"expr_str": "Symbol('x').__class__"}]}, "has code where a shape should be"),
        ({"a": [{"expr_str": "sympify('x')"}]}, "has code where a shape should be"),
        ({"nodes": [{"target": "torch.hub.load"}]}, "calls 'torch.hub.load', which is no operator"),
        ({"nodes": [{"target": "torch.ops.load_library"}]}, "which is no operator"),
        ({"config": {"c": {"path_name": "opaque_obj_0"}}}, "holds a pickled object"),
    ],
)
def test_a_program_that_would_run_python_is_not_loaded(tmp_path: Path, document: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        check_program(program_with(tmp_path / "m.pt2", document))


def test_a_program_of_machine_code_is_not_loaded(tmp_path: Path) -> None:
    path = program_with(tmp_path / "m.pt2", {}, name="m/data/aotinductor/model/evil.json")
    with pytest.raises(InvalidInputError, match="machine code"):
        check_program(path)


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("L['x'].size()[0] <= 4096", True),
        ("Max(Integer(1), Add(Symbol('s27', positive=True, integer=True), Integer(-2)))", True),
        ("exec('1')", False),
        ("(lambda: 1)()", False),
        ("L['x'].__class__", False),
        ("[a for a in L]", False),
        ("x" * 20_000, False),
        ("(" * 5000, False),
        (None, False),
    ],
)
def test_only_arithmetic_on_sizes_is_let_through(text: object, is_plain: bool) -> None:
    assert is_arithmetic(text) is is_plain


def keras_archive(path: Path, layer: dict[str, Any]) -> Path:
    """Write a .keras file of one layer."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))
        archive.writestr("metadata.json", "{}")
    return path


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"module": "keras.layers", "class_name": "Lambda", "config": {}}, "has a Lambda layer, which runs code"),
        ({"module": "keras.layers", "class_name": "TFSMLayer", "config": {}}, "TFSMLayer"),
        (
            {"module": "os", "class_name": "system", "config": {}},
            "needs the class 'os.system', which is not part of Keras",
        ),
    ],
)
def test_a_keras_file_that_would_run_code_is_not_loaded(tmp_path: Path, layer: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as refusal:
        open_runtime(ModelForm.KERAS, keras_archive(tmp_path / "m.keras", layer))
    assert "model.export('folder')" in refusal.value.message


def test_a_real_lambda_in_an_old_keras_file_is_not_loaded(tmp_path: Path) -> None:
    import keras

    path = makers.make_keras(tmp_path / "m.h5", layers=(keras.layers.Lambda(lambda x: x * 2),))
    with pytest.raises(InvalidInputError, match="Lambda layer"):
        open_runtime(ModelForm.KERAS, path)


def test_a_decompression_bomb_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("config.json", "w") as member:
        for _ in range(80):
            member.write(b"0" * 2**20)
    with pytest.raises(InvalidInputError, match="would unpack to 83886080 bytes"):
        open_runtime(ModelForm.KERAS, path)


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", ""])
def test_weights_outside_of_the_folder_are_not_fetched(tmp_path: Path, place: str) -> None:
    import onnx

    path = makers.make_onnx(tmp_path / "m.onnx", external="w.bin")
    model = onnx.load(str(path), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = place
    write(path, model.SerializeToString())
    with pytest.raises(InvalidInputError, match="outside of its folder"):
        open_runtime(ModelForm.ONNX, path)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    path = makers.make_onnx(tmp_path / "m.onnx", external="w.bin")
    (tmp_path / "w.bin").unlink()
    with pytest.raises(InvalidInputError, match=r"'w\.bin', which does not lie beside it"):
        open_runtime(ModelForm.ONNX, path)


def test_a_saved_model_that_reads_files_is_not_loaded(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec((None,), tf.float32, name="x")

    def spy(x: Any) -> Any:
        return {"stolen": tf.strings.length(tf.io.read_file("/etc/hostname")) + tf.cast(x, tf.int32)}

    tf.saved_model.save(module, str(tmp_path / "spy"), signatures=tf.function(spy, input_signature=[spec]))
    with pytest.raises(InvalidInputError, match=r"reach outside the model \(ReadFile\)"):
        open_runtime(ModelForm.SAVED_MODEL, tmp_path / "spy")


def test_a_pipe_in_place_of_a_file_does_not_hang(models: Models, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(CommandError, match="is no regular file"):
        models("import", tmp_path / "m.onnx", "--name", "pipe")


def test_the_command_survives_a_file_that_kills_its_reader(models: Models, tmp_path: Path, settings: Any) -> None:
    settings.MODEL_WORK_MEMORY_MB = 1  # the reader cannot even begin: the same as a file that eats all memory
    with pytest.raises(CommandError) as failure:
        models("import", makers.make_onnx(tmp_path / "m.onnx"), "--name", "big")
    assert failure.value.returncode == exit_codes.USAGE
    assert not ModelVersion.objects.exists()


def test_a_model_that_draws_random_numbers_is_refused(models: Models, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    nodes = [helper.make_node("RandomNormalLike", ["x"], ["noise"]), helper.make_node("Add", ["x", "noise"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "noisy", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(CommandError, match=r"depends on the other rows|differs between two calls"):
        models("import", tmp_path / "m.onnx", "--name", "noisy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samples", "missing.npz"], "cannot be read"),
        (["--image", "28x28"], "HEIGHTxWIDTHxCHANNELS"),
        (["--image", "2x2x1"], r"needs one input of shape \[-1, 2, 2, 1\]"),
        (["--labels", "a"], "at least 2 labels"),
        (["--task", "regression", "--labels", "a,b,c"], "a regression has no labels"),
        (["--target", "y"], "--target names labels in --samples"),
        (["--remote", "http://127.0.0.1:9"], "one of the two"),
        (["--format", "litert"], "no LiteRT file"),
    ],
)
def test_what_cannot_be_said_of_a_model_is_refused(
    models: Models, tmp_path: Path, arguments: list[str], words: str
) -> None:
    with pytest.raises(CommandError, match=words) as refusal:
        models("import", makers.make_onnx(tmp_path / "m.onnx"), "--name", "tiny", *arguments)
    assert refusal.value.returncode == exit_codes.USAGE


def test_samples_that_are_pickles_run_nothing(models: Models, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    np.save(tmp_path / "rows.npy", np.array([Evil(marker)], dtype=object), allow_pickle=True)
    with pytest.raises(CommandError, match=r"no readable \.npz or \.npy"):
        models("import", makers.make_onnx(tmp_path / "m.onnx"), "--name", "t", "--samples", tmp_path / "rows.npy")
    assert not marker.exists()
