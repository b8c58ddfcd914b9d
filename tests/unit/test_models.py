import pytest
import torch

from latentgen import datasets, models
from latentgen.activations.sources import Stream


def parameters(model):
    return sum(tensor.numel() for tensor in model.parameters())


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


def own_model(in_shape, n_classes, probed):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, n_classes))
    model.probed = probed
    return model


def test_any_factory_is_a_model():
    target = f"{__name__}:own_model"
    assert models.build(target, (1, 8, 8), 10, 0, {"probed": {"flat": "0"}}).probed == {"flat": "0"}
    with pytest.raises(ValueError, match="submodule '7', which does not exist"):
        models.build(target, (1, 8, 8), 10, 0, {"probed": {"flat": "7"}})
    with pytest.raises(ValueError, match="needs an attribute 'probed'"):
        models.build(target, (1, 8, 8), 10, 0, {"probed": {}})


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
    import numpy as np

    grey = np.array([[[0, 255]]] * 4, np.uint8)
    np.savez(tmp_path / "own.npz", x_train=grey, y_train=[0, 1, 0, 1], x_test=grey, y_test=[0, 1, 0, 1])
    data = datasets.prepare("own", "", {"npz": tmp_path / "own.npz"})
    from latentgen.pixels import Pixels

    assert Pixels(data.x_train, data, torch.device("cpu")).batch(slice(0, 1)).flatten().tolist() == [
        -1.0,
        1.0,
    ]
