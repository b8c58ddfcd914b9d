"""Residual networks with PyTorch's default initialisation, which torchvision's constructors replace by their own."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with batch norm around a shortcut: He et al. (CVPR 2016), section 3.3, option B.

    The shortcut is the identity, or a 1 × 1 convolution with batch norm where the number of features or the size of
    the map changes.
    """

    def __init__(self, features: int, out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(features, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if stride != 1 or features != out:
            projection = nn.Conv2d(features, out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=projection, bn=nn.BatchNorm2d(out)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (b, features, height, width) to (b, out, ⌈height / stride⌉, ⌈width / stride⌉)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18(in_shape: tuple[int, int, int], n_classes: int, width: int = 64) -> nn.Sequential:
    """The published ResNet-18: a 3 × 3 stem of stride 1, max-pooling, 2-2-2-2 basic blocks, linear classifier.

    The four stages have ``width``, 2, 4 and 8 times ``width`` channels. Probed layers: ``stem`` (after the pooling) and
    ``layer1`` … ``layer4`` (after the last ReLU) as whole maps, 16384, 16384, 8192, 4096 and 2048 features at 32 px and
    width 64, and ``avgpool`` (8 times ``width``). Source: Ketha & Ramaswamy (TMLR 2026), public code.
    """
    stem = OrderedDict(
        conv=nn.Conv2d(in_shape[0], width, 3, padding=1, bias=False),
        bn=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(stem))
    features = width
    for stage in range(4):
        out, stride = width * 2**stage, 1 if stage == 0 else 2
        layers[f"layer{stage + 1}"] = nn.Sequential(BasicBlock(features, out, stride), BasicBlock(out, out, 1))
        features = out
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    probed = {name: name for name in layers}
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(features, n_classes)
    model = nn.Sequential(layers)
    model.probed = probed
    model.readout = "head"
    return model
