"""One source for both frameworks: tf.data and torch's DataLoader give the loop's own batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.sources import load_dataset
from training.data.streamed import StreamedPart

pytestmark = pytest.mark.timeout(300)  # importing a framework takes its time on a busy machine


@pytest.fixture(params=[0, 3000], ids=["memory", "disk"])
def data(request: Any, tmp_path: Path) -> Any:
    lines = [f"{i},{('cook', 'clerk')[i % 2]},{i % 3}" for i in range(300)]
    (tmp_path / "t.csv").write_text("age,job,y\n" + "\n".join(lines))
    found = load_dataset(str(tmp_path / "t.csv"), target="y", seed=1, scratch=tmp_path, memory_bytes=request.param)
    assert isinstance(found.train, StreamedPart) == bool(request.param)
    return found


def same(batches: list[Any], part: Any) -> None:
    wanted = list(part.shuffled(32, seed=1, epoch=2, start=1))
    assert len(batches) == len(wanted)
    for (inputs, labels), (array, truth) in zip(batches, wanted, strict=True):
        assert np.array_equal(np.asarray(inputs["age"]), array["age"])
        texts = [text.decode() if isinstance(text, bytes) else text for text in np.asarray(inputs["job"]).ravel()]
        assert texts == array["job"].ravel().tolist()
        assert np.array_equal(np.asarray(labels), truth)


def test_tf_data_gives_the_loops_batches(data: Any) -> None:
    from training.data.adapters import as_tf_dataset

    rows = as_tf_dataset(data.train, data.inputs, batch_size=32, seed=1, epoch=2, start=1)
    same(list(rows.as_numpy_iterator()), data.train)


@pytest.mark.torch
def test_torch_loader_gives_the_loops_batches(data: Any) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install -r requirements-torch.txt")
    from training.data.adapters import as_torch_loader

    same(list(as_torch_loader(data.train, batch_size=32, seed=1, epoch=2, start=1)), data.train)
