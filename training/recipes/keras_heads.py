"""The last layer and the loss of each task, in Keras, on any of its backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.recipes.parameters import HUBER
from training.recipes.tasks import Regression, Task

Loss = Callable[[Any, Any], tuple[Any, Any]]  # targets, outputs -> losses (n,), measures (n,)


def attach_head(features: Any, task: Task) -> Any:
    """Return the task's output from features (n, k): probabilities (n, classes), or a number (n, 1) in its unit."""
    from keras import layers

    if isinstance(task, Regression):
        number = layers.Dense(1, dtype="float32")(features)  # (n, 1), mean 0 and variance 1
        return layers.Rescaling(task.scale.deviation, offset=task.scale.mean, dtype="float32")(number)
    return layers.Dense(len(task.labels), activation="softmax", dtype="float32")(features)  # (n, classes)


def build_loss(task: Task) -> Loss:
    """Return the loss of a task, for each row, and its measure."""
    return _regression_loss(task) if isinstance(task, Regression) else _cross_entropy


def _cross_entropy(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Shapes: targets (n,) class indices; outputs (n, classes) probabilities."""
    import keras
    from keras import ops

    losses = keras.losses.sparse_categorical_crossentropy(targets, outputs)  # (n,)
    return losses, ops.cast(
        ops.equal(ops.cast(ops.argmax(outputs, axis=1), "int32"), ops.cast(targets, "int32")), "float32"
    )


def _regression_loss(task: Regression) -> Loss:
    deviation, is_huber = task.scale.deviation, task.loss == HUBER

    def loss(targets: Any, outputs: Any) -> tuple[Any, Any]:
        """Shapes: targets (n,) or (n, k); outputs (n, 1) or (n, k), in the target's unit."""
        from keras import ops

        errors = ops.abs(ops.reshape(targets, ops.shape(outputs)) - outputs)  # (n, k)
        apart = errors / deviation
        squares = ops.square(apart)
        losses = ops.where(apart <= 1, squares / 2, apart - 0.5) if is_huber else squares
        return ops.mean(losses, axis=1), ops.mean(errors, axis=1)

    return loss
