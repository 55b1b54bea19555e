"""The streams: a reference that the model was tested on, and windows after it, clean at first and then drifted.

Of each data set a model is trained on its first part. Clean windows are drawn from rows that neither model nor
reference has seen; a drifted stream is clean windows and then drifted ones, without a gap.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.embeddings import DIMENSIONS
from aiplatform.features import image_features
from training.recipes.embeddings import projection_matrix

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]

CLEAN_BEFORE = 20  # clean windows before a drift
DRIFTED = 20
CLEAN_WINDOWS = 200  # for the false alarms


@dataclass
class Rows:
    """Features, probabilities of each class, the truth, and embeddings where the model has some, of the same n rows."""

    features: Columns
    probabilities: Array
    truth: Array  # class indices
    embedding: Array | None = None  # (n, dimensions)

    def take(self, places: Array) -> Rows:
        """Return some of the rows."""
        features = {name: column[places] for name, column in self.features.items()}
        embedding = None if self.embedding is None else self.embedding[places]
        return Rows(features, self.probabilities[places], self.truth[places], embedding)


@dataclass
class Scenario:
    """A reference and the windows after it. `onset`: the first drifted window; None if none is drifted."""

    name: str
    reference: Rows
    windows: list[Rows] = field(default_factory=list)
    onset: int | None = None


def draw(rows: Rows, windows: int, size: int, random: np.random.Generator) -> list[Rows]:
    """Return windows of rows drawn without repetition inside a window."""
    return [rows.take(random.choice(len(rows.truth), size, replace=False)) for _ in range(windows)]


def stream(name: str, reference: Rows, clean: Rows, drifted: Rows, size: int, seed: int) -> Scenario:
    """Return a stream that drifts after CLEAN_BEFORE windows."""
    random = np.random.default_rng(seed)
    before, after = draw(clean, CLEAN_BEFORE, size, random), draw(drifted, DRIFTED, size, random)
    return Scenario(name, reference, [*before, *after], CLEAN_BEFORE)


def resamples(name: str, reference: Rows, clean: Rows, size: int, seed: int) -> Scenario:
    """Return clean windows alone."""
    return Scenario(name, reference, draw(clean, CLEAN_WINDOWS, size, np.random.default_rng(seed)))


def read_table(path: Path, target: str, drop: tuple[str, ...] = ()) -> tuple[Columns, Array, list[str]]:
    """Return columns (numbers where all are), the truth as class indices, and the classes."""
    with path.open(newline="") as file:
        records = list(csv.DictReader(file))
    classes = sorted({record[target] for record in records})
    columns: Columns = {}
    for name in records[0]:
        if name != target and name not in drop:
            texts = [record[name] for record in records]
            try:
                columns[name] = np.array([float(text) for text in texts])
            except ValueError:
                columns[name] = np.array(texts, dtype=object)
    return columns, np.array([classes.index(record[target]) for record in records]), classes


def electricity(folder: Path, seed: int = 0) -> list[Scenario]:
    """Return half-hourly prices in time order: a model of the first weeks meets the rest, which drifts by itself.

    The first third holds constants where later numbers are; the model learns after them. Resamples are of the
    months after the reference; for the delay the stream goes on in order, and its onset is its first row.
    """
    columns, truth, _ = read_table(folder / "electricity.csv", "class", drop=("date",))
    start, train, reference, size = 17_760, 6000, 4000, 336  # a week of half hours
    rows = _fit_table(columns, truth, np.arange(start, start + train))
    held_out = np.random.default_rng(seed).permutation(np.arange(start, start + train + 2 * reference)[train:])
    known, clean = rows.take(held_out[:reference]), rows.take(held_out[reference:])
    later = np.arange(start + train + 2 * reference, len(truth))
    weeks = [rows.take(later[i : i + size]) for i in range(0, len(later) - size, size)]
    shuffled = resamples("electricity, resampled", known, clean, size, seed + 1)
    return [shuffled, Scenario("electricity, the rest in order", known, weeks, 0)]


def german_credit(folder: Path, seed: int = 0) -> list[Scenario]:
    """Return credit applications: clean, with incomes inflated, with older applicants, with labels that changed."""
    columns, truth, _ = read_table(folder / "credit-g.csv", "class")
    order = np.random.default_rng(seed).permutation(len(truth))
    train, reference, clean = order[:250], order[250:700], order[700:]
    model = _TableModel(columns, truth, train)
    rows = Rows(columns, model.predict(columns), truth)
    size = 100
    inflated = {**columns, "credit_amount": columns["credit_amount"] * 1.5}
    purposes = {**columns, "purpose": np.where(np.arange(len(truth)) % 2, "retraining", columns["purpose"])}
    older = clean[columns["age"][clean] > np.quantile(columns["age"][clean], 0.4)]
    flipped = Rows(columns, rows.probabilities, np.where(columns["duration"] > 18, 1 - truth, truth))
    known, rest = rows.take(reference), rows.take(clean)
    drifts = {
        "amounts x 1.5": Rows(inflated, model.predict(inflated), truth).take(clean),
        "half the purposes new": Rows(purposes, model.predict(purposes), truth).take(clean),
        "older applicants": rows.take(older),
        "labels turned where duration > 18": flipped.take(clean),
    }
    found = [resamples("german-credit, resampled", known, rest, size, seed + 2)]
    return found + [stream(f"german-credit, {n}", known, rest, d, size, seed + 3) for n, d in drifts.items()]


def mnist(folder: Path, seed: int = 0) -> list[Scenario]:
    """Return digits: clean, rotated, inverted, noisy, and with one digit missing."""
    train, train_truth = _images(folder, "train", 20_000)
    test, truth = _images(folder, "t10k", 10_000)
    order = np.random.default_rng(seed + 1).permutation(len(test))  # the first 5,000 were written by other people
    test, truth = test[order], truth[order]
    model = _image_model(train, train_truth)
    random = np.random.default_rng(seed)

    def rows(images: Array, labels: Array) -> Rows:
        pixels = images.reshape(len(images), -1) / 255.0
        hidden = np.maximum(0, pixels @ model.coefs_[0] + model.intercepts_[0])  # (n, 64), the last hidden layer
        embedding = hidden @ projection_matrix(hidden.shape[1], DIMENSIONS)
        probabilities = np.asarray(model.predict_proba(pixels))
        return Rows(image_features(images.astype(np.float32)), probabilities, labels, embedding)

    reference, clean, size = slice(0, 4000), slice(4000, 10_000), 300
    known, rest = rows(test[reference], truth[reference]), rows(test[clean], truth[clean])
    images, labels = test[clean], truth[clean]
    noisy = np.clip(images + random.normal(0, 60, images.shape), 0, 255)
    slight = np.clip(images + random.normal(0, 10, images.shape), 0, 255)
    drifts = {
        "rotated by 90 degrees": rows(np.rot90(images, axes=(1, 2)).copy(), labels),
        "inverted": rows(255 - images, labels),
        "noise, deviation 60": rows(noisy, labels),
        "noise, deviation 10": rows(slight, labels),
        "no digit 1": rest.take(np.flatnonzero(labels != 1)),
    }
    found = [resamples("mnist, resampled", known, rest, size, seed + 4)]
    return found + [stream(f"mnist, {n}", known, rest, d, size, seed + 5) for n, d in drifts.items()]


class _TableModel:
    """Gradient boosting over numbers, and categories by their places."""

    def __init__(self, columns: Columns, truth: Array, train: Array) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self._names = [name for name, column in columns.items()]
        self._categories = {
            name: {text: place for place, text in enumerate(sorted(set(column[train])))}
            for name, column in columns.items()
            if column.dtype.kind == "O"
        }
        boosting = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.08, random_state=0)
        self._model = boosting.fit(self._matrix(columns)[train], truth[train])

    def predict(self, columns: Columns) -> Array:
        return np.asarray(self._model.predict_proba(self._matrix(columns)))

    def _matrix(self, columns: Columns) -> Array:
        encoded = [
            np.array([self._categories[n].get(t, np.nan) for t in columns[n]]) if n in self._categories else columns[n]
            for n in self._names
        ]
        return np.stack(encoded, axis=1).astype(float)


def _fit_table(columns: Columns, truth: Array, train: Array) -> Rows:
    return Rows(columns, _TableModel(columns, truth, train).predict(columns), truth)


def _image_model(images: Array, truth: Array) -> Any:
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((64,), max_iter=8, early_stopping=False, random_state=0, batch_size=256)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged after so few epochs, and need not
        return network.fit(images.reshape(len(images), -1) / 255.0, truth)


def _images(folder: Path, part: str, count: int) -> tuple[Array, Array]:
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:count].astype(np.int64)
    return images.astype(np.float64), labels


SOURCES = {"electricity": electricity, "german-credit": german_credit, "mnist": mnist}
