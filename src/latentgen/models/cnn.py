"""Plain convolutional networks."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn


def cnn(
    in_shape: tuple[int, int, int],
    n_classes: int,
    channels: Sequence[int] = (16, 32, 64),
    widths: Sequence[int] = (250, 250, 250),
    convolutions: int = 2,
    dropout: float = 0.0,
) -> nn.Sequential:
    """The published CNN: per stage two 3 × 3 convolutions with ReLU and a 2 × 2 max-pooling, then linear layers.

    The classifier has no bias, as published. ``dropout`` is the probability after each hidden linear layer's ReLU; 0
    leaves it out. Probed layers: ``flat`` (576 features at 28 px, 1,024 at 32 px) and ``fc1`` … after ReLU, before
    dropout. Source: Ketha & Ramaswamy (TMLR 2026), public code.

    Raises ``ValueError`` when the image is too small for the poolings.
    """
    features, height, width = in_shape
    if min(height, width) < 2 ** len(channels):
        raise ValueError(f"{len(channels)} poolings need at least {2 ** len(channels)} px, got {height} × {width}")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, out in enumerate(channels, start=1):
        for step in range(1, convolutions + 1):
            layers[f"conv{stage}_{step}"] = nn.Conv2d(features, out, 3, padding=1)
            layers[f"relu{stage}_{step}"] = nn.ReLU()
            features = out
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
        height, width = height // 2, width // 2
    layers["flatten"] = nn.Flatten()
    features *= height * width
    probed = {"flat": "flatten"}
    for index, units in enumerate(widths, start=1):
        layers[f"fc{index}"] = nn.Linear(features, units)
        layers[f"relu_fc{index}"] = nn.ReLU()
        if dropout:
            layers[f"dropout_fc{index}"] = nn.Dropout(dropout)
        probed[f"fc{index}"] = f"relu_fc{index}"
        features = units
    layers["head"] = nn.Linear(features, n_classes, bias=False)
    model = nn.Sequential(layers)
    model.probed = probed
    model.readout = "head"
    return model


def cnn_small(in_shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Two stages of one convolution, 16 and 32 channels, and two linear layers of 128 units: for the 8 × 8 digits."""
    return cnn(in_shape, n_classes, channels=(16, 32), widths=(128, 128), convolutions=1)
