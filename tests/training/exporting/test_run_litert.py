"""The device's runner: real labels from a real file, with nothing but LiteRT and numpy to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

RUNNER = ROOT / "docs" / "examples" / "run_litert.py"
# What ai-edge-litert and numpy are made of; anything else that is imported ends the process.
BARE = """
import importlib.abc, runpy, sys
ALLOWED = {"ai_edge_litert", "numpy"} | set(sys.stdlib_module_names)
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"{name} is not on the device", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """Return a folder with the classifier in real numbers and in integers, and its labels."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("device")
    with np.load(digits / "rows.npz") as rows:
        images = rows["x"]
    for name in ("real", "integer"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(digits / "model"), signature_keys=["serving_default"])
        if name == "integer":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ({"image": row[None]} for row in images[:100])
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    np.save(folder / "rows.npy", images[:20])
    np.savez(folder / "rows.npz", image=images[:20])
    (folder / "labels.txt").write_text("".join(f"digit {n}\n" for n in range(10)))
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the example as a device would, in a process with the blocker."""
    return subprocess.run(
        [sys.executable, "-I", "-c", BARE, str(RUNNER), *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # TensorFlow's converter warns of its own parts
@pytest.mark.parametrize(("model", "rows"), [("real.tflite", "rows.npy"), ("integer.tflite", "rows.npz")])
def test_it_prints_labels_and_the_time_with_litert_and_numpy_alone(exported: Path, model: str, rows: str) -> None:
    done = run(exported, model, rows, "--labels", "labels.txt")
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    truth = [f"digit {n % 10}" for n in range(20)]
    said = [line.split("\t")[1] for line in lines]
    assert sum(a == b for a, b in zip(said, truth, strict=True)) >= 18
    assert last.startswith("20 rows, median ")


@pytest.mark.filterwarnings("ignore")
def test_without_labels_it_prints_the_numbers_and_says_what_it_misses(exported: Path) -> None:
    done = run(exported, "real.tflite", "rows.npy")
    assert len(done.stdout.splitlines()[0].split("\t")[1].split(" ")) == 10
    np.savez(exported / "other.npz", pixels=np.zeros((1, 8, 8, 1), np.float32))
    assert "lacks image; it holds pixels" in run(exported, "real.tflite", "other.npz").stderr


def test_the_blocker_blocks(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import msgspec\n")
    done = subprocess.run([sys.executable, "-I", "-c", BARE, str(script)], capture_output=True, text=True, timeout=60)
    assert "msgspec is not on the device" in done.stderr
