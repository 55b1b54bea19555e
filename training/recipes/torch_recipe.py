"""PyTorch recipes: write `build_network`; learning, checkpoints and export are here.

PyTorch is an optional extra and is imported when a learner is built, never before.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import TensorSpec
from training.data.dataset import Array, DataDescription
from training.recipes.embeddings import embedding_spec, projection_matrix
from training.recipes.recipe import Learner, Recipe
from training.recipes.steps import StepOptions

if TYPE_CHECKING:
    from torch import nn, optim

PROGRAM = "model.pt2"


class TorchRecipe(Recipe):
    """A recipe whose network is a PyTorch module of one input tensor."""

    framework: ClassVar[str] = "torch"

    @abstractmethod
    def build_network(self, data: DataDescription, parameters: Any) -> nn.Module:
        """Return a module from the input tensor, as on the wire, to logits (n, classes)."""

    def build_optimizer(self, network: nn.Module, parameters: Any) -> optim.Optimizer:
        """Return the optimizer: Adam, unless a recipe says otherwise."""
        from torch import optim

        return optim.Adam(network.parameters(), lr=parameters.learning_rate)

    def find_head(self, network: nn.Module) -> nn.Module | None:
        """Return the layer whose input (n, width) embeddings are made of: the last linear one, which gives the logits.

        None if there is none; the model then has no embedding.
        """
        from torch import nn

        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        return linear[-1] if linear else None

    def build_learner(self, data: DataDescription, parameters: Any, seed: int) -> Learner:
        """Return a learner around a fresh network; every random choice follows from the seed."""
        try:
            import torch
        except ModuleNotFoundError as error:
            raise InvalidConfigurationError(
                f"recipe '{self.name}' needs PyTorch, which is not installed: pip install -r requirements-torch.txt"
            ) from error
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(parameters.deterministic and device.type == "cpu")
        network = self.build_network(data, parameters).to(device)
        optimizer = self.build_optimizer(network, parameters)
        options = StepOptions.of(parameters, data)
        learner = TorchLearner(network, optimizer, data.inputs[0], device, options=options)
        if parameters.embedding:
            learner.add_embedding(self.find_head(network), parameters.embedding)
        return learner


class TorchLearner:
    """A PyTorch network that learns by cross-entropy."""

    model_format = "torch_export"

    def __init__(
        self,
        network: nn.Module,
        optimizer: optim.Optimizer,
        spec: TensorSpec,
        device: Any,
        *,
        options: StepOptions | None = None,
    ) -> None:
        import torch

        self._network, self._optimizer = network, optimizer
        self._input, self._device = spec, device
        self._options = options or StepOptions()
        weights = self._options.class_weights
        self._weights = None if weights is None else torch.from_numpy(weights).to(device)
        self._embedder: Any = None
        self.embedding: TensorSpec | None = None

    def add_embedding(self, head: nn.Module | None, dimensions: int) -> None:
        """Have the model also give what goes into `head`, projected; without effect unless that is a vector a row."""
        import torch

        if head is None:
            return
        self._network.eval()
        example = torch.zeros((2, *self._input.shape[1:]), device=self._device)
        with torch.inference_mode():
            hidden = _hidden_of(self._network, head, example)[1]
        if hidden is not None and hidden.dim() == 2 and len(hidden) == len(example):
            self._embedder = _monitored(self._network, head, projection_matrix(hidden.shape[1], dimensions))
            self._embedder.to(self._device)
            self.embedding = embedding_spec(dimensions)

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, int]:
        """Learn from one batch; return its mean loss and how many rows were right."""
        import torch

        self._network.train()
        self._optimizer.zero_grad()
        loss, correct = 0.0, 0
        for piece in self._options.cut(len(labels)):
            some = {name: array[piece] for name, array in inputs.items()}
            part, right = self._add_gradients(some, labels[piece], rows=len(labels))
            loss, correct = loss + part, correct + right
        if self._options.clip_norm:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._options.clip_norm)
        self._optimizer.step()
        return loss, correct

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def predict(self, inputs: Arrays) -> Array:
        """Return probabilities, shape (n, classes)."""
        import torch

        self._network.eval()
        with torch.inference_mode():
            probabilities = self._network(self._tensor(inputs)).softmax(dim=1)
        return np.asarray(probabilities.cpu().numpy(), dtype=np.float32)

    def embed(self, inputs: Arrays) -> Array:
        """Return embeddings, shape (n, dimensions); only for a learner that has them."""
        import torch

        self._embedder.eval()
        with torch.inference_mode():
            embeddings = self._embedder(self._tensor(inputs))[1]
        return np.asarray(embeddings.cpu().numpy(), dtype=np.float32)

    def save_state(self, path: Path) -> None:
        """Write weights, optimizer and random generator."""
        import torch

        state = {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        torch.save(state, path)

    def load_state(self, path: Path) -> None:
        """Read what `save_state` wrote; nothing but tensors is unpickled."""
        import torch

        state = torch.load(path, map_location="cpu", weights_only=True)
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])

    def export(self, folder: Path) -> None:
        """Write a `torch.export` program from the input to probabilities (and the embedding), for any batch size."""
        import torch

        serving = self._embedder
        if serving is None:
            serving = torch.nn.Sequential(self._network, torch.nn.Softmax(dim=1))
        serving = copy.deepcopy(serving).cpu().eval()
        example = torch.zeros((2, *self._input.shape[1:]))  # 2: a batch of 1 would be taken as fixed
        batch = torch.export.Dim("batch")
        program = torch.export.export(serving, (example,), dynamic_shapes=({0: batch},))
        torch.export.save(program, folder / PROGRAM)

    def _add_gradients(self, inputs: Arrays, labels: Array, *, rows: int) -> tuple[float, int]:
        """Add to the gradients what these rows make up of the mean loss over `rows` rows."""
        import torch
        from torch.nn import functional

        truth = torch.from_numpy(labels).to(self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._options.is_mixed):
            logits = self._network(self._tensor(inputs))  # (n, classes)
        losses = functional.cross_entropy(logits.float(), truth, reduction="none")  # (n,)
        if self._weights is not None:
            losses = losses * self._weights[truth]
        loss = losses.sum() / rows
        loss.backward()
        return float(loss.detach()), int((logits.argmax(dim=1) == truth).sum())

    def _tensor(self, inputs: Arrays) -> Any:
        import torch

        array = np.ascontiguousarray(inputs[self._input.name])
        return torch.from_numpy(array).to(self._device)


def _hidden_of(network: nn.Module, head: nn.Module, inputs: Any) -> tuple[Any, Any]:
    """Return a network's answer and what went into one of its layers when it was called last; None if it was not."""
    seen: list[Any] = []
    handle = head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    try:
        answer = network(inputs)
    finally:
        handle.remove()
    return answer, seen[-1] if seen else None


def _monitored(network: nn.Module, head: nn.Module, projection: Array) -> nn.Module:
    import torch
    from torch import nn

    class Monitored(nn.Module):  # type: ignore[misc]
        """A network that gives probabilities and the embedding; nothing of it learns but the network."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.head = (head,)  # in a tuple: it is a part of the network already
            self.register_buffer("projection", torch.from_numpy(projection))

        def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits, hidden = _hidden_of(self.network, self.head[0], inputs)
            return logits.softmax(dim=1), hidden.float() @ self.projection

    return Monitored()
