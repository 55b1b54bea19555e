"""The loop that the platform is measured against: MNIST in Keras or PyTorch, with nothing of the platform.

`python benchmarks/bare_training.py keras|torch FOLDER --marks FILE` reads the IDX files, learns as the
recipes `keras_cnn` and `torch_cnn` do with their defaults (same network, batches of 128, Adam, cosine, a tenth held out
for validation), and writes moments and processor seconds: when this process began, the data was wanted and read, the
network was there, the first step was done, and the last epoch.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH, RATE, DROPOUT, VALIDATION, EVALUATED = 128, 0.002, 0.25, 0.1, 512
Arrays = Any


def main() -> None:
    """Learn, and write the marks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", choices=("keras", "torch"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--marks", type=Path, required=True)
    options = parser.parse_args()
    build = build_keras if options.framework == "keras" else build_torch
    marks = {"began_s": process_start_s(), **mark("reading")}
    images, labels = read_idx(options.folder, "train")
    marks |= mark("read")
    order = np.random.default_rng(options.seed).permutation(len(images))
    held_out = int(len(images) * VALIDATION)
    kept, validation = order[held_out:], order[:held_out]
    step, predict, set_rate = build(options.seed)
    marks |= mark("built")
    total = options.epochs * math.ceil(len(kept) / BATCH)
    done = 0
    for epoch in range(1, options.epochs + 1):
        rows = np.random.default_rng([options.seed, epoch]).permutation(kept)
        loss_sum = 0.0
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            set_rate(RATE * 0.5 * (1 + math.cos(math.pi * done / total)))
            loss_sum += step(images[chosen].astype(np.float32), labels[chosen]) * len(chosen)
            done += 1
            if done == 1:
                marks |= mark("first_step")
        right = sum(
            int((predict(images[some].astype(np.float32)).argmax(axis=1) == labels[some]).sum())
            for some in np.array_split(validation, math.ceil(held_out / EVALUATED))
        )
        marks |= mark("learned")
        print(f"epoch {epoch}  loss={loss_sum / len(rows):.4f}  val_accuracy={right / held_out:.4f}", flush=True)
    options.marks.write_text(json.dumps(marks))
    os._exit(0)


def mark(name: str) -> dict[str, float]:
    """Return the moment, and the processor seconds of this process so far, as `NAME_s` and `NAME_cpu_s`."""
    return {f"{name}_s": time.monotonic(), f"{name}_cpu_s": time.process_time()}


def process_start_s() -> float:
    """Return when this process began, on the clock of `time.monotonic`, to a hundredth of a second."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # since the machine started
    return ticks / os.sysconf("SC_CLK_TCK")


def read_idx(folder: Path, part: str) -> tuple[Arrays, Arrays]:
    """Return images (n, 28, 28, 1) uint8 and labels (n,) int64 of a folder with MNIST's gzipped files."""
    raw = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    raw = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return images, np.frombuffer(raw, np.uint8, offset=8).astype(np.int64)


def build_keras(seed: int) -> tuple[Callable[..., float], Callable[..., Arrays], Callable[[float], None]]:
    """Return a step (images, labels) -> loss, a prediction, and what sets the learning rate."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(DROPOUT),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(learning_rate=RATE)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def train(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, outputs))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def predict(images: Any) -> Any:
        return model(images, training=False)

    return (
        lambda images, labels: float(train(tf.convert_to_tensor(images), tf.convert_to_tensor(labels))),
        lambda images: np.asarray(predict(tf.convert_to_tensor(images))),
        lambda rate: optimizer.learning_rate.assign(rate),
    )


def build_torch(seed: int) -> tuple[Callable[..., float], Callable[..., Arrays], Callable[[float], None]]:
    """Return a step (images, labels) -> loss, a prediction, and what sets the learning rate."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(1600, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)

    def tensor(images: Arrays) -> Any:
        return torch.from_numpy(images).permute(0, 3, 1, 2) / 255

    def train(images: Arrays, labels: Arrays) -> float:
        network.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(tensor(images)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def predict(images: Arrays) -> Arrays:
        network.eval()
        with torch.inference_mode():
            return network(tensor(images)).numpy()

    def set_rate(rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate

    return train, predict, set_rate


if __name__ == "__main__":
    main()
