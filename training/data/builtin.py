"""Data sets that have a name: `digits` comes with scikit-learn, `mnist` with Keras."""

from __future__ import annotations

import hashlib
import os
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aiplatform.errors import UnavailableError
from training.data.dataset import Dataset
from training.data.fetch import fingerprint_path
from training.data.images import LabelledImages, build_image_dataset
from training.data.npz import load_npz
from training.data.reading import Reading

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
PROBE_TIMEOUT_S = 10.0


def load_digits(reading: Reading) -> Dataset:
    """Return scikit-learn's 1797 handwritten digits: 8x8 pixels, 17 shades, spread over 0 to 255."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    labels = bunch.target.astype(np.uint8)
    content = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    reading.report.fingerprint = f"sha256:{content}"
    return build_image_dataset(train=LabelledImages(pixels=pixels, labels=labels), reading=reading)


def load_mnist(reading: Reading, *, cache: Path | None = None, download: Callable[[], None] | None = None) -> Dataset:
    """Return MNIST from Keras' cache, which Keras fills if the internet can be reached.

    Raises: UnavailableError saying what to put where, if it is neither cached nor reachable.
    """
    path = (cache or keras_cache()) / "mnist.npz"
    if not path.exists():
        _fill_cache(path, download or _download_mnist)
    fingerprint = fingerprint_path(path)
    if fingerprint != f"sha256:{MNIST_SHA256}":
        raise UnavailableError(f"'{path}' is not MNIST as Keras publishes it: {fingerprint}; remove it")
    reading.report.fingerprint = fingerprint
    return load_npz(path, reading)


def keras_cache() -> Path:
    """Return where Keras keeps data sets; KERAS_HOME is Keras' own variable."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets"


def _fill_cache(path: Path, download: Callable[[], None]) -> None:
    try:
        download()
    except OSError as error:
        raise UnavailableError(
            f"MNIST is not in Keras' cache and cannot be downloaded ({error}). Either put mnist.npz "
            f"(from {MNIST_URL}, sha256 {MNIST_SHA256}) at {path}, "
            "or give a folder with the four IDX files (train-images-idx3-ubyte.gz ...) as the data URI"
        ) from error
    if not path.exists():
        raise UnavailableError(f"Keras downloaded MNIST, but not to {path}; is KERAS_HOME set differently?")


def _download_mnist() -> None:
    probe_server(MNIST_URL)
    import keras

    keras.datasets.mnist.load_data()


def probe_server(url: str) -> None:
    """Ask a server for an address; name look-ups alone may take minutes offline.

    Raises: OSError unless it answers in time.
    """
    answers: list[OSError | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - a constant https address
        try:
            with urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S):  # noqa: S310
                answers.append(None)
        except OSError as error:  # URLError is one
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_S)
    error = answers[0] if answers else TimeoutError(f"no answer within {PROBE_TIMEOUT_S:.0f} s")
    if error is not None:
        raise error
