"""VGG-16 against torchvision's, written-out sums, and its own contract with probes and interventions."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn

from latentgen import datasets, models
from latentgen.activations.sources import Stream

CPU = torch.device("cpu")
SMALL = (3, 32, 32)
BOTH = pytest.mark.parametrize("batch_norm", [False, True])

#: (maps, channels) of the convolutions, written out: stages of 2, 2, 3, 3 and 3.
CONVOLUTIONS = [
    *((3, 64), (64, 64)),
    *((64, 128), (128, 128)),
    *((128, 256), (256, 256), (256, 256)),
    *((256, 512), (512, 512), (512, 512)),
    *((512, 512), (512, 512), (512, 512)),
]

#: Features of each layer at 32 px, width 64: channels × height × width.
WIDTHS = {
    "input": 3 * 32 * 32,
    **{"conv1_1": 64 * 32 * 32, "conv1_2": 64 * 32 * 32, "pool1": 64 * 16 * 16},
    **{"conv2_1": 128 * 16 * 16, "conv2_2": 128 * 16 * 16, "pool2": 128 * 8 * 8},
    **{"conv3_1": 256 * 8 * 8, "conv3_2": 256 * 8 * 8, "conv3_3": 256 * 8 * 8, "pool3": 256 * 4 * 4},
    **{"conv4_1": 512 * 4 * 4, "conv4_2": 512 * 4 * 4, "conv4_3": 512 * 4 * 4, "pool4": 512 * 2 * 2},
    **{"conv5_1": 512 * 2 * 2, "conv5_2": 512 * 2 * 2, "conv5_3": 512 * 2 * 2, "pool5": 512},
}


def vgg(shape=SMALL, classes=100, seed=0, **options):
    return models.build("vgg16", shape, classes, seed, options)


def stream_of(model, shape, n=4):
    """Stream of ``model`` over ``n`` random images for training and as many for test."""
    rng = np.random.default_rng(0)
    arrays = {f"x_{split}": rng.integers(0, 256, (n, *shape), np.uint8) for split in ("train", "test")}
    labels = {f"y_{split}": np.arange(n) % 2 for split in ("train", "test")}
    data = datasets.Dataset(**arrays, **labels, n_classes=2, pixel_max=255, digest="random")
    return Stream(model, data, CPU)


def layers_of(model, shape, n=4, **mode):
    """Input of the network and {layer: (n, features)} on its images, in eval mode."""
    stream = stream_of(model, shape, n)
    _, parts = next(stream.chunks("test", stream.layers, **mode))
    return stream.pixels["test"].batch(slice(None)), parts


def torchvision_features(batch_norm):
    """Convolutions of torchvision's network, without memory: its classifier has 124 million weights."""
    from torchvision.models import vgg16, vgg16_bn

    with torch.device("meta"):
        return (vgg16_bn if batch_norm else vgg16)(weights=None).features


def torchvision_initialised(batch_norm, monkeypatch):
    """Torchvision's network as its constructor initialises it, each linear layer made 512 × 100 to be light."""
    from torchvision.models import vgg as theirs

    class Light(nn.Linear):
        def __init__(self, *_sizes):
            super().__init__(512, 100)

    monkeypatch.setattr(theirs, "nn", SimpleNamespace(**{**vars(nn), "Linear": Light}))
    torch.manual_seed(0)
    return (theirs.vgg16_bn if batch_norm else theirs.vgg16)(weights=None)


@BOTH
def test_convolutions_are_those_of_torchvision_in_shape_order_and_output(batch_norm):
    model, theirs = vgg(batch_norm=batch_norm), torchvision_features(batch_norm)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():  # zeros and ones would not show where they belong
        if name.startswith("bn") and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif name.startswith("conv") and name.endswith("bias"):
            tensor.normal_(0, 0.02, generator=generator)
    own = model.state_dict()
    ours = [tensor for name, tensor in own.items() if not name.startswith("head")]
    assert [tensor.shape for tensor in ours] == [tensor.shape for tensor in theirs.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours, strict=True)), assign=True)
    expected, position = {}, 0
    x, parts = layers_of(model, SMALL)
    value = x
    for module in theirs.eval():
        value = module(value)
        if isinstance(module, nn.ReLU | nn.MaxPool2d):
            expected[list(model.probed)[position]] = value.detach().flatten(1).clone()
            position += 1
    assert list(expected) == list(model.probed)
    for layer, rows in expected.items():
        assert torch.allclose(parts[layer], rows, rtol=1e-5, atol=1e-5 * float(rows.abs().max())), layer
    assert torch.allclose(model(x), expected["pool5"] @ own["head.weight"].T + own["head.bias"], atol=1e-5)


@pytest.mark.parametrize(("size", "classes"), [(32, 100), (32, 10), (64, 200)])
@BOTH
def test_number_of_parameters(batch_norm, size, classes):
    convolutions = sum(9 * a * b + b for a, b in CONVOLUTIONS)
    assert convolutions == 14_714_688
    normalisations = batch_norm * 2 * sum(b for _, b in CONVOLUTIONS)
    readout = (512 * (size // 32) ** 2 + 1) * classes
    with torch.device("meta"):
        model = vgg((3, size, size), classes, batch_norm=batch_norm)
    assert sum(tensor.numel() for tensor in model.parameters()) == convolutions + normalisations + readout


@BOTH
def test_layers_have_their_widths_and_follow_relu(batch_norm):
    _, parts = layers_of(vgg(batch_norm=batch_norm), SMALL)
    assert list(parts) == list(WIDTHS)
    assert {layer: part.shape[1] for layer, part in parts.items()} == WIDTHS
    assert all(part.min() == 0 for layer, part in parts.items() if layer.startswith("conv"))
    assert all(part.min() >= 0 for layer, part in parts.items() if layer.startswith("pool"))
    assert len(WIDTHS) + 1 == 20  # with the output, the layers of the published figure


@pytest.mark.parametrize(("shape", "positions"), [(SMALL, 1), ((1, 33, 63), 1), ((3, 64, 32), 2), ((3, 96, 64), 6)])
@BOTH
def test_the_last_layer_feeds_the_readout(batch_norm, shape, positions):
    model = vgg(shape, 7, batch_norm=batch_norm, width=4)
    x, parts = layers_of(model, shape)
    head = models.readout(model)
    assert parts["pool5"].shape[1] == 8 * 4 * positions
    assert head is list(model.modules())[-1] and head.out_features == 7
    assert torch.equal(head(parts["pool5"]), model.eval()(x))


def test_other_widths_scale_every_layer():
    x, parts = layers_of(vgg((1, 32, 32), width=6), (1, 32, 32))
    assert x.shape == (4, 1, 32, 32)
    scaled = {layer: width * 6 // 64 for layer, width in WIDTHS.items()}
    assert {layer: part.shape[1] for layer, part in parts.items()} == {**scaled, "input": 1024}


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 31, 64), (3, 64, 31), (1, 8, 8)])
def test_images_too_small_for_five_poolings_are_refused(shape):
    with pytest.raises(ValueError, match=f"at least 32 px, got {shape[1]} × {shape[2]}; use larger images or 'cnn'"):
        vgg(shape)


@BOTH
def test_initialisation_is_that_of_torchvision_in_distribution(batch_norm, monkeypatch):
    theirs = torchvision_initialised(batch_norm, monkeypatch)
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    ours = [module for module in vgg(batch_norm=batch_norm) if isinstance(module, kinds)]
    # Of torchvision's three linear layers, which are drawn alike, the first.
    drawn = [module for module in theirs.modules() if isinstance(module, kinds)][:-2]
    assert [module.weight.shape for module in ours] == [module.weight.shape for module in drawn]
    assert len(ours) == 14 + 13 * batch_norm
    for module, other in zip(ours, drawn, strict=True):
        assert torch.equal(module.bias, torch.zeros_like(module.bias)) and torch.equal(module.bias, other.bias)
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert torch.equal(module.weight, other.weight)
            continue
        values, n = module.weight.detach().flatten().double(), module.weight.numel()
        # He et al. (ICCV 2015): a variance of two by the fan-out, that is by nine times the channels that come out.
        std = (2 / (9 * module.out_channels)) ** 0.5 if isinstance(module, nn.Conv2d) else 0.01
        assert abs(values.std() / std - 1) < 5 * (2 * n) ** -0.5
        assert abs(other.weight.std().item() / std - 1) < 5 * (2 * n) ** -0.5
        assert abs(values.mean()) < 5 * std * n**-0.5
        few = slice(None, None, -(-n // 20_000))
        assert ks_2samp(values[few].numpy(), other.weight.detach().flatten().double()[few].numpy()).pvalue > 1e-4


def test_the_default_initialisation_would_lose_the_images():
    """Why this network is an exception: by the default its logits hardly depend on the image."""
    model = vgg()
    spreads = []
    for reset in (False, True):
        if reset:
            torch.manual_seed(0)
            for module in model:
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.reset_parameters()
        x, _ = layers_of(model, SMALL)
        with torch.no_grad():
            logits = model(x)
        spreads.append(float(logits.std(0).mean() / logits.abs().mean()))
    assert spreads[0] > 0.03 and spreads[1] < 1e-4


def test_seed_decides_the_weights():
    first, again, other = (vgg(seed=seed, width=2).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv5_3.weight"], other["conv5_3.weight"])


# The last batch norms see maps of 2 × 2, whose four values may be nearly equal: float64, for float32's rounding would
# be magnified.
def test_batch_norm_by_example_is_training_mode_at_batch_size_one_down_to_maps_of_two_by_two():
    model = vgg(batch_norm=True, width=4)
    model.to(torch.float64).register_forward_pre_hook(lambda _module, inputs: (inputs[0].double(),))
    x, found = layers_of(model, SMALL, batch_norm="example")
    single = copy.deepcopy(model)
    for module in single:
        module.train(isinstance(module, nn.BatchNorm2d))
    smallest = []
    for name, module in single.named_children():
        if name.startswith("bn"):
            module.register_forward_hook(lambda _m, inputs, _o: smallest.append(tuple(inputs[0].shape[2:])))
    rows = {layer: [] for layer in model.probed}
    for layer, name in model.probed.items():
        single.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: rows[layer].append(output.detach().flatten(1).clone())
        )
    for image in x:
        single(image[None])
    assert min(smallest) == (2, 2)
    _, running = layers_of(model, SMALL)
    for layer, parts in rows.items():
        expected = torch.cat(parts)
        scale = float(expected.abs().max())
        assert torch.allclose(found[layer], expected, rtol=0, atol=1e-9 * scale), layer
        assert float((running[layer] - expected).abs().max()) > 0.1 * scale, layer
