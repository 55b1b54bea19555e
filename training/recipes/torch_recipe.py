"""PyTorch recipes: write `build_network`; learning, checkpoints and export are here.

PyTorch is an optional extra and is imported when a learner is built, never before.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import TensorSpec
from aiplatform.text_bytes import encode_text_inputs
from training.data.dataset import Array, DataDescription
from training.parallel.place import Place, this_place
from training.recipes.embeddings import embedding_spec, projection_matrix
from training.recipes.recipe import Learner, Recipe
from training.recipes.steps import StepOptions
from training.recipes.tasks import Task
from training.recipes.torch_heads import Loss, build_answer, build_loss

if TYPE_CHECKING:
    from torch import nn, optim

PROGRAM = "model.pt2"


class TorchRecipe(Recipe):
    """A recipe whose network is a PyTorch module of the data's inputs, in their order."""

    framework: ClassVar[str] = "torch"
    can_share: ClassVar[bool] = True

    @abstractmethod
    def build_network(self, data: DataDescription, parameters: Any) -> nn.Module:
        """Return a module from the inputs, as on the wire (texts as bytes), to logits (n, classes).

        Inputs of texts are uint8 with their bytes as the last dimension, as `text_bytes` says.
        """

    def build_optimizer(self, network: nn.Module, parameters: Any) -> optim.Optimizer:
        """Return the optimizer: Adam, unless a recipe says otherwise."""
        from torch import optim

        return optim.Adam(network.parameters(), lr=parameters.learning_rate)

    def build_loss(self, task: Task) -> Loss:
        """Return the loss of each row, and its measure: the task's, unless a recipe says otherwise."""
        return build_loss(task)

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
        place = this_place()
        device = _device(place)
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(parameters.deterministic and device.type == "cpu")
        network = self.build_network(data, parameters).to(device)
        optimizer = self.build_optimizer(network, parameters)
        task = self.build_task(data, parameters)
        learner = TorchLearner(
            network,
            optimizer,
            data.inputs,
            device,
            task=task,
            loss=self.build_loss(task),
            options=StepOptions.of(parameters, data),
            text_bytes=self.text_bytes(data, parameters),
            place=place,
        )
        if parameters.embedding:
            learner.add_embedding(self.find_head(network), parameters.embedding)
        if place.rank:
            learner.reseed(seed + place.rank)
        return learner


class TorchLearner:
    """A PyTorch network with its optimizer; `task` says how its outputs become what is served."""

    model_format = "torch_export"

    def __init__(
        self,
        network: nn.Module,
        optimizer: optim.Optimizer,
        inputs: tuple[TensorSpec, ...],
        device: Any,
        *,
        task: Task,
        loss: Loss,
        options: StepOptions | None = None,
        text_bytes: Mapping[str, int] | None = None,
        place: Place | None = None,
    ) -> None:
        import torch

        self._network, self._optimizer = network, optimizer
        self._place = place or Place()
        self._shared = network if self._place.is_alone else _shared(network, device)
        self._inputs, self._device = inputs, device
        self._task, self._loss, self._answer = task, loss, build_answer(task)
        self._text_bytes = dict(text_bytes or {})
        self._options = options or StepOptions()
        weights = self._options.class_weights
        self._weights = None if weights is None else torch.from_numpy(weights).to(device)
        self._serving = _served(network, task)
        self.embedding: TensorSpec | None = None

    def add_embedding(self, head: nn.Module | None, dimensions: int) -> None:
        """Have the model also give what goes into `head`, projected; without effect unless that is a vector a row."""
        import torch

        if head is None:
            return
        self._network.eval()
        examples = tuple(self._example(spec).to(self._device) for spec in self._inputs)
        with torch.inference_mode():
            hidden = _hidden_of(self._network, head, examples)[1]
        if hidden is not None and hidden.dim() == 2 and len(hidden) == len(examples[0]):
            projection = projection_matrix(hidden.shape[1], dimensions)
            self._serving = _monitored(self._network, self._task, head, projection).to(self._device)
            self.embedding = embedding_spec(dimensions)

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, float]:
        """Learn from one batch, or a part of one of `rows` rows; return its mean loss and the sum of a measure."""
        import torch

        self._shared.train()
        self._optimizer.zero_grad()
        loss, measure = 0.0, 0.0
        pieces = self._options.cut(len(labels))
        for piece in pieces:
            some = {name: array[piece] for name, array in inputs.items()}
            with nullcontext() if self._place.is_alone or piece is pieces[-1] else self._shared.no_sync():
                part, some_measure = self._add_gradients(some, labels[piece], rows=rows or len(labels))
            loss, measure = loss + part, measure + some_measure
        if self._options.clip_norm:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._options.clip_norm)
        self._optimizer.step()
        return (loss, measure) if self._place.is_alone else self._of_all(loss, measure)

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def predict(self, inputs: Arrays) -> Array:
        """Return the task's output, its rows first."""
        import torch

        self._network.eval()
        with torch.inference_mode():
            outputs = self._answer(self._network(*self._tensors(inputs)))
        return np.asarray(outputs.cpu().numpy(), dtype=np.float32)

    def embed(self, inputs: Arrays) -> Array:
        """Return embeddings, shape (n, dimensions); only for a learner that has them."""
        import torch

        self._serving.eval()
        with torch.inference_mode():
            embeddings = self._serving(*self._tensors(inputs))[-1]
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

    def reseed(self, seed: int) -> None:
        """Draw dropout's random numbers anew."""
        import torch

        torch.manual_seed(seed)

    def leave_team(self) -> None:
        """Do nothing: its engine has no service that waits for word from members."""

    def export(self, folder: Path) -> None:
        """Write a `torch.export` program from the inputs to the task's answers, then the embedding; any batch size."""
        import torch

        serving = copy.deepcopy(self._serving).cpu().eval()
        batch = torch.export.Dim("batch")
        examples = tuple(self._example(spec) for spec in self._inputs)
        program = torch.export.export(serving, examples, dynamic_shapes=(({0: batch},) * len(examples),))
        torch.export.save(program, folder / PROGRAM)

    def _add_gradients(self, inputs: Arrays, labels: Array, *, rows: int) -> tuple[float, float]:
        """Add to the gradients what these rows make up of the mean loss over `rows` rows."""
        import torch

        truth = torch.from_numpy(labels).to(self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._options.is_mixed):
            outputs = self._shared(*self._tensors(inputs))  # (n, ...)
        losses, measures = self._loss(truth, outputs.float())  # (n,), (n,)
        if self._weights is not None:
            losses = losses * self._weights[truth]
        loss = losses.sum() / rows
        (loss * self._place.world).backward()  # a team's gradients are averaged: this makes them a sum
        return float(loss.detach()), float(measures.sum())

    def _of_all(self, loss: float, measure: float) -> tuple[float, float]:
        import torch

        sums = torch.tensor([loss, measure], dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(sums)
        return float(sums[0]), float(sums[1])

    def _example(self, spec: TensorSpec) -> Any:
        import torch

        shape = (2, *spec.shape[1:])  # 2: a batch of 1 would be taken as fixed
        if spec.name in self._text_bytes:
            return torch.zeros((*shape, self._text_bytes[spec.name]), dtype=torch.uint8)
        return torch.zeros(shape)

    def _tensors(self, inputs: Arrays) -> list[Any]:
        import torch

        given = encode_text_inputs(inputs, self._text_bytes)
        return [torch.from_numpy(np.ascontiguousarray(given[spec.name])).to(self._device) for spec in self._inputs]


def _device(place: Place) -> Any:
    """Return the device of a member: each has a GPU of its own where there are enough."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", place.local % torch.cuda.device_count())


def _shared(network: nn.Module, device: Any) -> Any:
    """Return the network as one that sums its gradients with those of the team, whose leader gives the weights."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    has_own_gpu = device.type == "cuda" and torch.cuda.device_count() >= this_place().local_world
    if torch.distributed.is_initialized():  # of an earlier learner in this process
        torch.distributed.destroy_process_group()
    torch.distributed.init_process_group("nccl" if has_own_gpu else "gloo")
    return DistributedDataParallel(network, device_ids=[device.index] if has_own_gpu else None)


def _hidden_of(network: nn.Module, head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return a network's answer and what went into one of its layers when it was called last; None if it was not."""
    seen: list[Any] = []
    handle = head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    try:
        answer = network(*inputs)
    finally:
        handle.remove()
    return answer, seen[-1] if seen else None


def _served(network: nn.Module, task: Task) -> nn.Module:
    import torch
    from torch import nn

    class Served(nn.Module):  # type: ignore[misc]
        """From the inputs, as on the wire, to the task's answers in their order."""

        def __init__(self) -> None:
            super().__init__()
            self.network, self.answer = network, build_answer(task)

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(task.answers(self.answer(self.network(*inputs))).values())

    return Served()


def _monitored(network: nn.Module, task: Task, head: nn.Module, projection: Array) -> nn.Module:
    import torch
    from torch import nn

    class Monitored(nn.Module):  # type: ignore[misc]
        """The task's answers, then the embedding; nothing of it learns but the network."""

        def __init__(self) -> None:
            super().__init__()
            self.network, self.answer = network, build_answer(task)
            self.head = (head,)  # in a tuple: it is a part of the network already
            self.register_buffer("projection", torch.from_numpy(projection))

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs, hidden = _hidden_of(self.network, self.head[0], inputs)
            return (*task.answers(self.answer(outputs)).values(), hidden.float() @ self.projection)

    return Monitored()
