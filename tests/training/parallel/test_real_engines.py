"""Two processes over the frameworks' own engines give the loss that one gives, and a killed one is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.pictures import write_bars

PROJECT = Path(__file__).parents[3]
# First the team: TensorFlow's engine must be there before TensorFlow does anything else.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from tests.training.parallel.test_team import Killing
from tests.training.recipes.reporters import RememberingReporter
from training.learning import learn
from training.recipes.api import TrainingOrder, WorkerLostError

recipe, data, folder, chosen = sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[5])

def run(name, reporter, **parameters):
    work_dir = folder / name
    work_dir.mkdir(exist_ok=True)
    given = {"epochs": 2, "batch_size": 26, "dropout": 0.0, "clip_norm": 1.0, **chosen, **parameters}
    order = TrainingOrder(recipe=recipe, parameters=given, data_uri=data, target=None, seed=3, work_dir=work_dir)
    return learn(order, reporter)

told = {}
if sys.argv[4] == "kill":
    reporter = Killing()
    try:
        run("cut", reporter, workers=2)
    except WorkerLostError as error:
        told["lost"] = str(error)
    told["steps"] = reporter.steps[-1]
else:
    reporter = RememberingReporter()
    told["team"] = list(run("team", reporter, workers=2, pieces=2).history)
    told["alone"] = list(run("alone", RememberingReporter()).history)
print("TOLD" + json.dumps(told))
sys.stdout.flush()
os._exit(0)
"""


def tell(recipe: str, folder: Path, what: str, chosen: dict[str, Any]) -> dict[str, Any]:
    data = folder / "bars.npz"
    if not data.exists():
        write_bars(data, rows=300, size=8)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, recipe, str(data), str(folder), what, json.dumps(chosen)],
        cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("TOLD")), "")
    assert line, done.stdout[-3000:] + done.stderr[-3000:]
    told: dict[str, Any] = json.loads(line.removeprefix("TOLD"))
    return told


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("recipe", "chosen"),
    [
        ("keras_cnn", {}),
        pytest.param("keras_cnn", {"backend": "torch"}, marks=pytest.mark.torch),
        pytest.param("torch_cnn", {}, marks=pytest.mark.torch),
    ],
)
def test_two_processes_give_the_loss_of_one_and_a_killed_one_is_noticed(
    recipe: str, chosen: dict[str, Any], tmp_path: Path
) -> None:
    if recipe == "torch_cnn" or chosen:
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install -r requirements-torch.txt")
    told = tell(recipe, tmp_path, "compare", chosen)
    for name in ("loss", "val_loss", "accuracy"):
        team, alone = ([epoch[name] for epoch in told[who]] for who in ("team", "alone"))
        assert team == pytest.approx(alone, rel=1e-4), name
    cut = tell(recipe, tmp_path, "kill", chosen)
    assert cut["lost"] == "worker 1 of 2 is gone (signal 9)"
    assert cut["steps"] == [2, 1]
