"""The last layer, the loss and the answer of each task, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training.recipes.parameters import HUBER
from training.recipes.tasks import Regression, Task

if TYPE_CHECKING:
    from torch import nn

Loss = Callable[[Any, Any], tuple[Any, Any]]  # targets, network's outputs -> losses (n,), measures (n,)


def build_head(features: int, task: Task) -> nn.Module:
    """Return a module from features (n, k) to logits (n, classes), or to a number (n, 1) of mean 0 and variance 1."""
    from torch import nn

    return nn.Linear(features, 1 if isinstance(task, Regression) else len(task.labels))


def build_answer(task: Task) -> nn.Module:
    """Return a module from a network's outputs to what is served: probabilities, or a number in its unit."""
    import torch
    from torch import nn

    if not isinstance(task, Regression):
        return nn.Softmax(dim=1)
    mean, deviation = task.scale.mean, task.scale.deviation

    class InItsUnit(nn.Module):  # type: ignore[misc]
        """The number as the target has it."""

        def forward(self, number: torch.Tensor) -> torch.Tensor:
            return number * deviation + mean

    return InItsUnit()


def build_loss(task: Task) -> Loss:
    """Return the loss of a task, for each row, and its measure."""
    return _regression_loss(task) if isinstance(task, Regression) else _cross_entropy


def _cross_entropy(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Shapes: targets (n,) class indices; outputs (n, classes) logits."""
    from torch.nn import functional

    losses = functional.cross_entropy(outputs, targets, reduction="none")  # (n,)
    return losses, (outputs.argmax(dim=1) == targets).float()


def _regression_loss(task: Regression) -> Loss:
    mean, deviation = task.scale.mean, task.scale.deviation

    def loss(targets: Any, outputs: Any) -> tuple[Any, Any]:
        """Shapes: targets (n,) or (n, k) in their unit; outputs (n, 1) or (n, k), scaled."""
        from torch.nn import functional

        scaled = (targets.reshape(outputs.shape) - mean) / deviation
        if task.loss == HUBER:
            losses = functional.huber_loss(outputs, scaled, reduction="none")
        else:
            losses = functional.mse_loss(outputs, scaled, reduction="none")
        return losses.mean(dim=1), (outputs.detach() - scaled).abs().mean(dim=1) * deviation

    return loss
