"""AlexNet in the published sizes."""

from collections import OrderedDict

from torch import nn


def alexnet(in_shape: tuple[int, int, int], n_classes: int, dropout: float = 0.0) -> nn.Sequential:
    """The published AlexNet: five convolutions, two linear layers of 4,096 units, a linear classifier with bias.

    Images smaller than 64 px get a first convolution of 3 × 3 with stride 2 and a second of 3 × 3, larger ones 11 × 11
    with stride 4 and 5 × 5. ``dropout`` is the probability before each of the two linear layers; 0 leaves it out.
    Probed layers: ``flat`` (256 features at 32 and at 64 px), ``fc1`` and ``fc2`` after ReLU. Source: Ketha &
    Ramaswamy (TMLR 2026), public code; dropout as in Krizhevsky et al. (NeurIPS 2012).

    Raises ``ValueError`` when the image is too small for the poolings (below 29 px).
    """
    channels, height, width = in_shape
    kernel, stride, padding, second = (3, 2, 1, 3) if min(height, width) < 64 else (11, 4, 2, 5)

    def pooled(size: int) -> int:
        size = (size + 2 * padding - kernel) // stride + 1
        for _ in range(3):
            size = (size - 3) // 2 + 1
        return size

    if min(pooled(height), pooled(width)) < 1:
        raise ValueError(f"alexnet's poolings need at least 29 px, got {height} × {width}; use larger images or 'cnn'")
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(channels, 64, kernel, stride=stride, padding=padding),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2),
        conv2=nn.Conv2d(64, 192, second, padding=second // 2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, stride=2),
        conv3=nn.Conv2d(192, 384, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 256, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(256, 256, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, stride=2),
        flatten=nn.Flatten(),
    )
    features = 256 * pooled(height) * pooled(width)
    for index in (1, 2):
        if dropout:
            layers[f"dropout_fc{index}"] = nn.Dropout(dropout)
        layers[f"fc{index}"] = nn.Linear(features, 4096)
        layers[f"relu_fc{index}"] = nn.ReLU()
        features = 4096
    layers["head"] = nn.Linear(features, n_classes)
    model = nn.Sequential(layers)
    model.probed = {"flat": "flatten", "fc1": "relu_fc1", "fc2": "relu_fc2"}
    model.readout = "head"
    return model
