"""VGG-16 as torchvision has it, with a head for small images."""

from collections import OrderedDict

from torch import nn

#: Channels, in multiples of the width, of the convolutions of each stage: configuration D.
STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


def vgg16(in_shape: tuple[int, int, int], n_classes: int, batch_norm: bool = False, width: int = 64) -> nn.Sequential:
    """VGG-16: thirteen 3 × 3 convolutions in five stages, each ended by 2 × 2 max-pooling, and one linear classifier.

    The stages have ``width``, 2, 4, 8 and 8 times ``width`` channels. Probed layers: ``conv1_1`` … ``conv5_3`` after
    their ReLU and ``pool1`` … ``pool5``, as whole maps; at 32 px and width 64 from 65,536 features (``conv1_1``) to 512
    (``pool5``). With ``batch_norm`` each convolution is followed by batch normalisation. The classifier of torchvision
    for 224 px, two hidden layers with dropout, gives way to a linear one: input, thirteen convolutions, five poolings
    and output are 20 layers, as many as Stephenson et al. (ICLR 2021, Figure 3) analyse. Source: Simonyan & Zisserman
    (ICLR 2015), Table 1, D.

    The initialisation is torchvision's, not PyTorch's default as in the rest of the zoo: He's normal one by fan-out for
    convolutions, normal with standard deviation 0.01 for the classifier, biases 0. With the default, what tells images
    apart fades to a half or less at each convolution, until the logits of all images agree to about five digits, and
    the network without batch normalisation does not begin to learn.

    Raises ``ValueError`` when the image is too small for five poolings (below 32 px).
    """
    channels, height, width_px = in_shape
    if min(height, width_px) < 32:
        raise ValueError(f"vgg16's poolings need at least 32 px, got {height} × {width_px}; use larger images or 'cnn'")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    probed, features = {}, channels
    for stage, multiples in enumerate(STAGES, start=1):
        for index, multiple in enumerate(multiples, start=1):
            name = f"{stage}_{index}"
            layers[f"conv{name}"] = nn.Conv2d(features, multiple * width, 3, padding=1)
            features = multiple * width
            if batch_norm:
                layers[f"bn{name}"] = nn.BatchNorm2d(features)
            layers[f"relu{name}"] = nn.ReLU()
            probed[f"conv{name}"] = f"relu{name}"
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
        probed[f"pool{stage}"] = f"pool{stage}"
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(features * (height // 32) * (width_px // 32), n_classes)
    model = nn.Sequential(layers)
    for module in model:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.normal_(layers["head"].weight, std=0.01)
    nn.init.zeros_(layers["head"].bias)
    model.probed = probed
    model.readout = "head"
    return model
