"""A network for tables of numbers and categories, in PyTorch; rows go in as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aiplatform.tensors import DType
from aiplatform.text_bytes import encode_text_bytes
from training.data.dataset import Array, DataDescription, DataKind, Target
from training.recipes.parameters import parameter
from training.recipes.recipe import Learner
from training.recipes.tabular import TabularParameters, mean_and_deviation, most_frequent
from training.recipes.torch_heads import build_head
from training.recipes.torch_recipe import TorchRecipe

if TYPE_CHECKING:
    from torch import nn, optim

LARGEST_EMBEDDING = 16
KNOWN_TEXTS = "columns.{place}.table"  # where a network keeps the bytes of an input's known texts, for its export


@dataclass(frozen=True, kw_only=True)
class TorchTabularParameters(TabularParameters):
    """What can be chosen."""

    embedding_size: int = parameter(
        0,
        minimum=0,
        maximum=256,
        help="Numbers that stand for a category; 0: half as many as it has values, at most 16.",
    )


class TorchTabular(TorchRecipe):
    """Standardised numbers and embedded categories into two hidden layers; both are in the exported program."""

    name = "torch_tabular"
    summary = "Classes or numbers from tables with numbers and categories, missing values included (PyTorch)"
    data_kind = DataKind.TABLE
    targets = (Target.CLASSES, Target.NUMBER)
    Parameters: ClassVar[type[TorchTabularParameters]] = TorchTabularParameters

    def text_bytes(self, data: DataDescription, parameters: TorchTabularParameters) -> Mapping[str, int]:
        """Return for each category one byte more than its longest known value: a longer one is never taken for it."""
        texts = [spec.name for spec in data.inputs if spec.dtype is DType.BYTES]
        known = {name: most_frequent(data.train.inputs[name], parameters.max_categories) for name in texts}
        return {name: 1 + max(len(value.encode()) for value in values) for name, values in known.items()}

    def build_learner(self, data: DataDescription, parameters: TorchTabularParameters, seed: int) -> Learner:
        """Return a learner, held back as much as so few rows want."""
        return super().build_learner(data, parameters.for_rows(len(data.train)), seed)

    def build_optimizer(self, network: nn.Module, parameters: TorchTabularParameters) -> optim.Optimizer:
        """Return Adam with decoupled weight decay (Loshchilov and Hutter, 2019); of weights, not of biases."""
        from torch import optim

        weights = [one for one in network.parameters() if one.ndim > 1]
        biases = {"params": [one for one in network.parameters() if one.ndim <= 1], "weight_decay": 0.0}
        groups = [{"params": weights, "weight_decay": parameters.weight_decay}, biases]
        return optim.AdamW(groups, lr=parameters.learning_rate)

    def build_network(self, data: DataDescription, parameters: TorchTabularParameters) -> nn.Module:
        """Return the network; every column is an input of its own, in the order of `data.inputs`."""
        import torch
        from torch import nn

        widths = self.text_bytes(data, parameters)
        columns, sizes = nn.ModuleList(), []
        for spec in data.inputs:
            values = data.train.inputs[spec.name]
            if spec.name in widths:
                known = most_frequent(values, parameters.max_categories)
                sizes.append(parameters.embedding_size or min(LARGEST_EMBEDDING, (len(known) + 1) // 2))
                columns.append(_embedded(known, widths[spec.name], sizes[-1]))  # (n, 1, bytes) -> (n, size)
            else:
                sizes.append(2)
                columns.append(_standardised(values))  # (n, 1) -> (n, 2)
        half = max(1, parameters.hidden_units // 2)
        layers = nn.Sequential(
            nn.Linear(sum(sizes), parameters.hidden_units),  # (n, 64)
            nn.ReLU(),
            nn.Dropout(parameters.dropout),
            nn.Linear(parameters.hidden_units, half),  # (n, 32)
            nn.ReLU(),
            nn.Dropout(parameters.dropout),
            build_head(half, self.build_task(data, parameters)),  # (n, classes), logits; or (n, 1)
        )

        class Network(nn.Module):  # type: ignore[misc]
            """Columns side by side, then the layers."""

            def __init__(self) -> None:
                super().__init__()
                self.columns, self.layers = columns, layers

            def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
                parts = [column(given) for column, given in zip(self.columns, inputs, strict=True)]
                return self.layers(torch.cat(parts, dim=1))  # (n, features)

        return Network()


def _standardised(values: Array) -> nn.Module:
    import torch
    from torch import nn

    mean, deviation = mean_and_deviation(values)

    class Standardised(nn.Module):  # type: ignore[misc]
        """The number with mean 0 and variance 1, and beside it whether it is missing (NaN)."""

        def forward(self, column: torch.Tensor) -> torch.Tensor:
            is_missing = torch.isnan(column)  # (n, 1); a missing number counts as the mean
            scaled = torch.where(is_missing, 0.0, (column - mean) / deviation)
            return torch.cat([scaled, is_missing.float()], dim=1)

    return Standardised()


def _embedded(known: list[str], width: int, size: int) -> nn.Module:
    import torch
    from torch import nn

    table = encode_text_bytes(np.array(known, dtype=object), width)  # (values, bytes)

    class Embedded(nn.Module):  # type: ignore[misc]
        """A vector for each known value; zeros for all others. Missing ("") is a value."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.from_numpy(table))
            self.register_buffer("numbers", torch.arange(1, len(known) + 1))
            self.vectors = nn.Embedding(len(known) + 1, size, padding_idx=0)

        def forward(self, texts: torch.Tensor) -> torch.Tensor:
            matches = (texts == self.table).all(dim=2)  # (n, 1, bytes) with (values, bytes) -> (n, values)
            return self.vectors((matches * self.numbers).sum(dim=1))  # (n, size)

    return Embedded()
