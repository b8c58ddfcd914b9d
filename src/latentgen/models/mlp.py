"""Fully connected networks."""

from collections import OrderedDict
from collections.abc import Sequence
from math import prod

from torch import nn


def mlp(
    in_shape: tuple[int, int, int],
    n_classes: int,
    widths: Sequence[int] = (128, 512, 2048, 2048),
    dropout: float = 0.0,
) -> nn.Sequential:
    """The published MLP: linear layers of ``widths``, each followed by ReLU, then a linear classifier with bias.

    ``dropout`` is the probability after each ReLU; 0 leaves it out. Probed layers: ``fc1`` … after ReLU, before
    dropout. Source: Ketha & Ramaswamy (TMLR 2026), public code.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    features = prod(in_shape)
    for index, width in enumerate(widths, start=1):
        layers[f"fc{index}"] = nn.Linear(features, width)
        layers[f"relu{index}"] = nn.ReLU()
        if dropout:
            layers[f"dropout{index}"] = nn.Dropout(dropout)
        features = width
    layers["head"] = nn.Linear(features, n_classes)
    model = nn.Sequential(layers)
    model.probed = {f"fc{index}": f"relu{index}" for index in range(1, len(widths) + 1)}
    model.readout = "head"
    return model


def mlp_small(in_shape: tuple[int, int, int], n_classes: int, dropout: float = 0.0) -> nn.Sequential:
    """The same with 128, 256 and 256 units, wide enough to memorise the 8 × 8 digits."""
    return mlp(in_shape, n_classes, widths=(128, 256, 256), dropout=dropout)
