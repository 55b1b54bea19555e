"""The text classifier reads a column of texts; its model takes them as they are, over both protocols' BYTES."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError
from tests.training.recipes.serving import open_as

pytestmark = pytest.mark.timeout(300)
WORDS = {
    "refund": ["money", "refund", "charged", "twice", "invoice", "card"],
    "delivery": ["parcel", "late", "courier", "address", "lost", "box"],
    "login": ["password", "reset", "account", "locked", "email", "code"],
}
FILLING = ["please", "hello", "the", "my", "I", "was", "and", "again", "since", "monday"]


def write_tickets(path: Path, rows: int = 400) -> None:
    """Write letters of customers, each with two words of its subject among others."""
    random = np.random.default_rng(6)
    lines = ["message,branch,subject"]
    for row in range(rows):
        subject = list(WORDS)[row % 3]
        words = [*random.choice(WORDS[subject], 2), *random.choice(FILLING, random.integers(3, 12))]
        lines.append(f"{' '.join(random.permutation(words)).capitalize()}!,north,{subject}")
    path.write_text("\n".join(lines))


def test_texts_are_classified_and_served_as_they_are(train: Callable[..., Any], tmp_path: Path) -> None:
    write_tickets(tmp_path / "tickets.csv")
    order = {"recipe": "text_classifier", "data": tmp_path / "tickets.csv", "target": "subject", "text": "message"}
    model, folder, inputs, outputs = train(**order, epochs=5, embedding_size=16, learning_rate=0.02)
    assert model.metrics["accuracy"] > 0.9
    assert [spec.name for spec in model.signature.inputs] == ["message"], "other columns are no inputs"
    engine = open_as(None, model, folder)
    assert np.allclose(engine.run(inputs)["probabilities"], outputs["probabilities"], atol=1e-5)
    texts = ["PASSWORD: reset??", "password reset", "", "ünknöwn words", b"my parcel is lost"]
    answers = engine.run({"message": np.array(texts, object)[:, None]})["probabilities"]
    assert np.isfinite(answers).all(), "an empty text has an answer"
    assert np.allclose(answers[0], answers[1], atol=1e-6), "capitals and punctuation do not count"
    assert model.labels[answers[1].argmax()] == "login"
    assert model.labels[answers[4].argmax()] == "delivery"


def test_the_column_of_texts_must_be_clear(train: Callable[..., Any], tmp_path: Path) -> None:
    write_tickets(tmp_path / "tickets.csv", rows=60)
    with pytest.raises(InvalidConfigurationError, match="must have one column of texts; it has: message, branch"):
        train("text_classifier", tmp_path / "tickets.csv", target="subject")
    with pytest.raises(InvalidConfigurationError, match="must have a column 'body' of texts"):
        train("text_classifier", tmp_path / "tickets.csv", target="subject", text="body")
