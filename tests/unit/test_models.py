"""The zoo against written-out sums, torchvision's networks, and PyTorch's default initialisation."""

import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from latentgen import datasets, models, seeds
from latentgen.activations.sources import Stream

CPU = torch.device("cpu")

ZOO = [
    ("mlp", (1, 28, 28), 10),
    ("mlp_small", (1, 8, 8), 10),
    ("cnn", (1, 28, 28), 10),
    ("cnn", (3, 32, 32), 10),
    ("cnn_small", (1, 8, 8), 10),
    ("alexnet", (3, 32, 32), 100),
    ("alexnet", (3, 64, 64), 200),
    ("resnet18", (3, 32, 32), 10),
]


def parameters(model):
    return sum(tensor.numel() for tensor in model.parameters())


def images(shape, n=6):
    """Data set of ``n`` random images for training and as many for test."""
    rng = np.random.default_rng(0)
    arrays = {f"x_{split}": rng.integers(0, 256, (n, *shape), np.uint8) for split in ("train", "test")}
    labels = {f"y_{split}": np.arange(n) % 2 for split in ("train", "test")}
    return datasets.Dataset(**arrays, **labels, n_classes=2, pixel_max=255, digest="random")


def layers_of(model, shape):
    """Input of the network and {layer: (6, features)} on its images, in eval mode."""
    stream = Stream(model, images(shape), CPU)
    _, parts = next(stream.chunks("test", stream.layers))
    return stream.pixels["test"].batch(slice(None)), parts


def test_published_mlp():
    model = models.build("mlp", (1, 28, 28), 10, 0)
    sizes = [784, 128, 512, 2048, 2048, 10]
    assert parameters(model) == sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
    assert list(model.probed) == ["fc1", "fc2", "fc3", "fc4"]


@pytest.mark.parametrize(("shape", "flat"), [((1, 28, 28), 576), ((3, 32, 32), 1024)])
def test_published_cnn(shape, flat):
    model = models.build("cnn", shape, 10, 0)
    convolutions = [(shape[0], 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    linear = [(flat, 250), (250, 250), (250, 250)]
    expected = sum(9 * a * b + b for a, b in convolutions) + sum((a + 1) * b for a, b in linear) + 250 * 10
    assert parameters(model) == expected
    assert list(model.probed) == ["flat", "fc1", "fc2", "fc3"]
    assert model.head.bias is None


@pytest.mark.parametrize(("size", "classes", "kernels"), [(32, 100, (3, 3)), (64, 200, (11, 5))])
def test_published_alexnet(size, classes, kernels):
    model = models.build("alexnet", (3, size, size), classes, 0)
    convolutions = [
        3 * 64 * kernels[0] ** 2 + 64,
        64 * 192 * kernels[1] ** 2 + 192,
        192 * 384 * 9 + 384,
        384 * 256 * 9 + 256,
        256 * 256 * 9 + 256,
    ]
    linear = [(256 + 1) * 4096, (4096 + 1) * 4096, (4096 + 1) * classes]
    assert parameters(model) == sum(convolutions) + sum(linear)


def test_published_resnet18():
    model = models.build("resnet18", (3, 32, 32), 10, 0)
    stem = 3 * 64 * 9 + 2 * 64
    layer1 = 4 * (64 * 64 * 9 + 2 * 64)
    changing = [  # two convolutions, the 1 x 1 shortcut, the second block; then four batch norms and the shortcut's
        a * b * 9 + b * b * 9 + a * b + 2 * b * b * 9 + 5 * 2 * b for a, b in [(64, 128), (128, 256), (256, 512)]
    ]
    assert parameters(model) == stem + layer1 + sum(changing) + (512 + 1) * 10


@pytest.mark.parametrize(
    ("name", "shape", "widths"),
    [
        ("mlp", (1, 28, 28), {"input": 784, "fc1": 128, "fc2": 512, "fc3": 2048, "fc4": 2048}),
        ("cnn", (1, 28, 28), {"input": 784, "flat": 576, "fc1": 250, "fc2": 250, "fc3": 250}),
        ("cnn", (3, 32, 32), {"input": 3072, "flat": 1024, "fc1": 250, "fc2": 250, "fc3": 250}),
        ("alexnet", (3, 32, 32), {"input": 3072, "flat": 256, "fc1": 4096, "fc2": 4096}),
        ("alexnet", (3, 64, 64), {"input": 12288, "flat": 256, "fc1": 4096, "fc2": 4096}),
        (
            "resnet18",
            (3, 32, 32),
            {
                "input": 3072,
                "stem": 16384,
                "layer1": 16384,
                "layer2": 8192,
                "layer3": 4096,
                "layer4": 2048,
                "avgpool": 512,
            },
        ),
    ],
)
def test_published_layers_have_their_widths_and_follow_relu(name, shape, widths):
    _, parts = layers_of(models.build(name, shape, 10, 0), shape)
    assert list(parts) == list(widths)
    assert {layer: part.shape[1] for layer, part in parts.items()} == widths
    assert all(part.min() >= 0 for layer, part in parts.items() if layer != "input")


@pytest.mark.parametrize(("name", "shape", "classes"), ZOO)
def test_last_probed_layer_feeds_the_readout(name, shape, classes):
    model = models.build(name, shape, classes, 0)
    x, parts = layers_of(model, shape)
    head = models.readout(model)
    assert head is list(model.modules())[-1] and head.out_features == classes
    assert torch.equal(head(parts[list(model.probed)[-1]]), model.eval()(x))


@pytest.mark.parametrize("size", [64, 80])
def test_alexnet_has_the_convolutions_of_torchvision(size):
    from torchvision.models import alexnet

    model = models.build("alexnet", (3, size, size), 10, 0)
    theirs = alexnet(num_classes=10).features
    ours = [tensor for name, tensor in model.state_dict().items() if name.startswith("conv")]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours, strict=True)))
    x, parts = layers_of(model, (3, size, size))
    assert torch.allclose(parts["flat"], theirs(x).flatten(1), atol=1e-6)


def test_alexnet_for_small_images_is_the_listed_one():
    model = models.build("alexnet", (3, 32, 32), 10, 0)
    listed = nn.Sequential(
        *(nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(256, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10)),
    )
    listed.load_state_dict(dict(zip(listed.state_dict(), model.state_dict().values(), strict=True)))
    x, _ = layers_of(model, (3, 32, 32))
    assert torch.allclose(model(x), listed(x), atol=1e-6)


@pytest.mark.parametrize("size", [29, 63])
def test_alexnet_takes_images_from_29_px(size):
    _, parts = layers_of(models.build("alexnet", (1, size, 29), 10, 0), (1, size, 29))
    assert parts["flat"].shape[1] >= 256


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 64, 28), (3, 28, 64), (1, 8, 8), (1, 1, 1)])
def test_alexnet_refuses_images_too_small_for_its_poolings(shape):
    with pytest.raises(ValueError, match=f"at least 29 px, got {shape[1]} × {shape[2]}"):
        models.build("alexnet", shape, 10, 0)


def torchvision_name(name):
    """Ours to torchvision's name of a tensor of ResNet-18."""
    pairs = {"stem.": "", "conv.": "conv1.", "bn.": "bn1.", "head.": "fc."}
    if "shortcut" in name:
        pairs = {"shortcut.conv": "downsample.0", "shortcut.bn": "downsample.1"}
    for ours, theirs in pairs.items():
        name = name.replace(ours, theirs)
    return name


def test_resnet18_is_that_of_torchvision_with_the_small_stem():
    from torchvision.models import resnet18

    model = models.build("resnet18", (3, 32, 32), 10, 0)
    for buffer in model.buffers():  # else eval mode would not see where a running statistic belongs
        if buffer.dtype == torch.float32:
            buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(buffer)))
    theirs = resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.load_state_dict({torchvision_name(name): tensor for name, tensor in model.state_dict().items()})
    expected = {}
    for ours, module in {"stem": "maxpool", **{name: name for name in list(model.probed)[1:]}}.items():
        theirs.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, name=ours: expected.update({name: output.flatten(1)})
        )
    x, parts = layers_of(model, (3, 32, 32))
    assert torch.allclose(model(x), theirs.eval()(x), atol=1e-4)
    assert list(expected) == list(model.probed)
    for layer, part in expected.items():
        assert torch.allclose(parts[layer], part, atol=1e-4), layer


def test_resnet18_of_other_width():
    model = models.build("resnet18", (1, 32, 32), 10, 0, {"width": 6})
    _, parts = layers_of(model, (1, 32, 32))
    widths = [1024, 6 * 256, 6 * 256, 12 * 64, 24 * 16, 48 * 4, 48]
    assert [part.shape[1] for part in parts.values()] == widths


@pytest.mark.parametrize(("name", "shape", "classes"), [case for case in ZOO if "small" not in case[0]])
def test_initialisation_is_the_default_of_pytorch(name, shape, classes):
    # Weights and biases are uniform within 1 / sqrt(fan in): a mean of zero, a variance of bound² / 3.
    checked = 0
    for module in models.build(name, shape, classes, 0).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            values, n = module.weight.detach().flatten().double() / bound, module.weight.numel()
            assert values.abs().max() <= 1 + 1e-6
            assert values.abs().max() > 1 - 20 / n
            assert abs(values.mean()) < 5 * (1 / 3 / n) ** 0.5
            assert abs(values.square().mean() - 1 / 3) < 5 * (4 / 45 / n) ** 0.5
            assert module.bias is None or 0 < module.bias.abs().max() <= bound * (1 + 1e-6)
            checked += 1
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all()) and not module.bias.any()
    assert checked == {"mlp": 5, "cnn": 10, "alexnet": 8, "resnet18": 21}[name]


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("mlp_small", {"input": 64, "fc1": 128, "fc2": 256, "fc3": 256}),
        ("cnn_small", {"input": 64, "flat": 128, "fc1": 128, "fc2": 128}),
    ],
)
def test_probed_layers_have_their_widths_and_follow_relu(digits, name, widths):
    model = models.build(name, digits.in_shape, 10, 0)
    stream = Stream(model, digits, torch.device("cpu"))
    _, parts = next(iter(stream.chunks("test", stream.layers)))
    assert {layer: part.shape[1] for layer, part in parts.items()} == widths
    assert all(part.min() >= 0 for layer, part in parts.items() if layer != "input")


def test_seed_decides_the_weights_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (models.build("mlp_small", (1, 8, 8), 10, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.fc1.weight, again.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


def test_cnn_refuses_images_too_small_for_its_poolings():
    with pytest.raises(ValueError, match="at least 8 px, got 4"):
        models.build("cnn", (1, 4, 4), 10, 0)


# ---- dropout ----

#: Model, image, and the probed layer that its first dropout reads.
WITH_DROPOUT = [("mlp", (1, 28, 28), "fc1"), ("cnn", (1, 28, 28), "fc1"), ("alexnet", (3, 32, 32), "flat")]


def dropouts(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.Dropout)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mlp", ["flatten", "fc1", "relu1", "fc2", "relu2", "fc3", "relu3", "fc4", "relu4", "head"]),
        (
            "cnn",
            [
                *("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1"),
                *("conv2_1", "relu2_1", "conv2_2", "relu2_2", "pool2"),
                *("conv3_1", "relu3_1", "conv3_2", "relu3_2", "pool3", "flatten"),
                *("fc1", "relu_fc1", "fc2", "relu_fc2", "fc3", "relu_fc3", "head"),
            ],
        ),
    ],
)
def test_dropout_changes_no_name_and_no_initial_weight(name, expected):
    plain = models.build(name, (1, 28, 28), 10, 3)
    dropped = models.build(name, (1, 28, 28), 10, 3, {"dropout": 0.2})
    assert [module for module, _ in plain.named_children()] == expected
    assert [module for module, _ in dropped.named_children() if "dropout" not in module] == expected
    # The weights that a seed has always given: the layers made one after the other.
    torch.manual_seed(seeds.derive("initialisation", 3))
    if name == "mlp":
        sizes = [784, 128, 512, 2048, 2048, 10]
        made = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
    else:
        convolutions = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
        made = [nn.Conv2d(a, b, 3) for a, b in convolutions]
        made += [nn.Linear(576, 250), nn.Linear(250, 250), nn.Linear(250, 250), nn.Linear(250, 10, bias=False)]
    names = [module for module in expected if module.startswith(("conv", "fc", "head"))]
    weights = nn.Sequential(OrderedDict(zip(names, made, strict=True))).state_dict()
    for model in (plain, dropped):
        assert list(model.state_dict()) == list(weights)
        assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in weights.items())


@pytest.mark.parametrize(
    ("name", "shape", "places"),
    [
        ("mlp", (1, 28, 28), [("relu1", "fc2"), ("relu2", "fc3"), ("relu3", "fc4"), ("relu4", "head")]),
        ("cnn", (1, 28, 28), [("relu_fc1", "fc2"), ("relu_fc2", "fc3"), ("relu_fc3", "head")]),
        ("alexnet", (3, 32, 32), [("flatten", "fc1"), ("relu_fc1", "fc2")]),
    ],
)
def test_dropout_stands_where_published_and_only_when_asked_for(name, shape, places):
    assert dropouts(models.build(name, shape, 10, 0)) == []
    model = models.build(name, shape, 10, 0, {"dropout": 0.5})
    children = [module for module, _ in model.named_children()]
    around = [(children[at - 1], children[at + 1]) for at in map(children.index, dropouts(model))]
    assert around == places


@pytest.mark.parametrize(("name", "shape", "layer"), WITH_DROPOUT)
def test_dropout_acts_in_train_mode_alone_and_keeps_the_mean(name, shape, layer):
    rate = 0.2
    model = models.build(name, shape, 10, 0, {"dropout": rate})
    x, parts = layers_of(model, shape)
    assert torch.equal(model(x), models.build(name, shape, 10, 0).eval()(x))
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(x), model(x))
    # The first dropout reads what a probe sees; over many draws its output has the same mean.
    caught = []
    module = model.get_submodule(dropouts(model)[0])
    module.register_forward_hook(lambda _module, inputs, output: caught.append((inputs[0], output)))
    with torch.no_grad():
        model(x.repeat(200, 1, 1, 1))
    before, after = caught[0]
    assert torch.allclose(before, parts[layer].repeat(200, 1), atol=1e-5)
    positive = before > 0
    lost = (after[positive] == 0).double().mean()
    assert abs(lost - rate) < 5 * (rate * (1 - rate) / positive.sum()) ** 0.5
    noise = (before.double().square().sum() * rate / (1 - rate)).sqrt()
    assert abs((after.double() - before.double()).sum()) < 5 * noise


@pytest.mark.parametrize(("name", "shape", "_layer"), WITH_DROPOUT)
def test_impossible_dropout_is_refused(name, shape, _layer):
    for rate in (-0.1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            models.build(name, shape, 10, 0, {"dropout": rate})


# ---- factories ----


def own_model(in_shape, n_classes, probed, **attributes):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, n_classes))
    model.probed = probed
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def test_any_factory_is_a_model():
    target = f"{__name__}:own_model"
    assert models.build(target, (1, 8, 8), 10, 0, {"probed": {"flat": "0"}}).probed == {"flat": "0"}
    with pytest.raises(ValueError, match="submodule '7', which does not exist"):
        models.build(target, (1, 8, 8), 10, 0, {"probed": {"flat": "7"}})
    with pytest.raises(ValueError, match="needs an attribute 'probed'"):
        models.build(target, (1, 8, 8), 10, 0, {"probed": {}})


def test_own_models_may_name_their_readout():
    def build(**attributes):
        return models.build(f"{__name__}:own_model", (1, 8, 8), 10, 0, {"probed": {"flat": "0"}, **attributes})

    model = build(readout="1")
    assert models.readout(model) is model[1]
    with pytest.raises(ValueError, match="Sequential needs an attribute 'readout'"):
        models.readout(build())
    for wrong in ("0", "7", nn.Linear(2, 2)):
        with pytest.raises(ValueError, match=r"own_model.*'readout' must name an nn.Linear submodule"):
            build(readout=wrong)


def test_importing_the_zoo_imports_no_torch_and_building_no_torchvision():
    build = "models.build('resnet18', (3, 32, 32), 10, 0, {'width': 4}); models.build('alexnet', (3, 32, 32), 10, 0)"
    script = (
        "import sys; from latentgen import models, activations; assert 'torch' not in sys.modules; "
        f"{build}; assert 'torch' in sys.modules and 'torchvision' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["mpl", "no.such.module:make", "torch.nn:NoSuchLayer"])
def test_unknown_factories_are_refused(name):
    with pytest.raises(ValueError, match="unknown model|cannot be loaded"):
        models.build(name, (1, 8, 8), 10, 0)


def test_pixels_become_the_published_input(digits):
    from latentgen.pixels import Pixels

    batch = Pixels(digits.x_test, digits, torch.device("cpu")).batch(slice(0, 7))
    expected = (torch.from_numpy(digits.x_test[:7].astype("float64")) / 16 - 0.5) / 0.5
    assert torch.allclose(batch.double(), expected, atol=1e-6) and batch.dtype == torch.float32


def test_dataset_of_other_scale(tmp_path):
    grey = np.array([[[0, 255]]] * 4, np.uint8)
    np.savez(tmp_path / "own.npz", x_train=grey, y_train=[0, 1, 0, 1], x_test=grey, y_test=[0, 1, 0, 1])
    data = datasets.prepare("own", "", {"npz": tmp_path / "own.npz"})
    from latentgen.pixels import Pixels

    assert Pixels(data.x_train, data, torch.device("cpu")).batch(slice(0, 1)).flatten().tolist() == [
        -1.0,
        1.0,
    ]
