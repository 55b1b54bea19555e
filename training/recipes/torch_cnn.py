"""The classic convolutional network for small images, in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from training.data.dataset import DataDescription, DataKind
from training.recipes.classic_cnn import ClassicCnnParameters, choose_padding, pooled_size
from training.recipes.torch_recipe import TorchRecipe

if TYPE_CHECKING:
    from torch import nn


class TorchCnn(TorchRecipe):
    """Two convolutions with max-pooling, then one dense layer."""

    name = "torch_cnn"
    summary = "Classic convolutional network for images of any size (PyTorch)"
    data_kind = DataKind.IMAGES
    Parameters: ClassVar[type[ClassicCnnParameters]] = ClassicCnnParameters

    def build_network(self, data: DataDescription, parameters: ClassicCnnParameters) -> nn.Module:
        """Return the network; shapes in the margin are for 28x28 images of one channel."""
        from torch import nn

        height, width, channels = data.inputs[0].shape[1:]
        padding = choose_padding(height, width)
        features = 64 * pooled_size(height, padding) * pooled_size(width, padding)
        return nn.Sequential(
            _channels_first(),  # (n, 28, 28, 1), 0 to 255 -> (n, 1, 28, 28), 0 to 1
            nn.Conv2d(channels, 32, 3, padding=padding),  # (n, 32, 26, 26)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (n, 32, 13, 13)
            nn.Conv2d(32, 64, 3, padding=padding),  # (n, 64, 11, 11)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (n, 64, 5, 5)
            nn.Flatten(),  # (n, 1600)
            nn.Dropout(parameters.dropout),
            nn.Linear(features, len(data.labels)),  # (n, classes), logits
        )


def _channels_first() -> nn.Module:
    import torch
    from torch import nn

    class ChannelsFirst(nn.Module):  # type: ignore[misc]
        """Images as they come over the wire, in the order and range that convolutions want."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.permute(0, 3, 1, 2) / 255

    return ChannelsFirst()
