"""Counts of weights, against closed forms, published sizes and the networks' own parameters."""

import pytest

from latentgen import models, tables
from latentgen.models.sizes import layer_rows

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)


def plain(factory, **options):
    return {"factory": factory, "options": options}


def resnet18(width, classes):
    """Weights of a ResNet-18 with stages of 1, 2, 4 and 8 times ``width`` channels, and two of batch norm for each."""
    stages = [width * 2**stage for stage in range(4)]
    total, before = 3 * 9 * width + 2 * width, width
    for stage in stages:
        total += 9 * stage * (before + 3 * stage) + 8 * stage
        total += (before * stage + 2 * stage) * (before != stage)
        before = stage
    return total + (before + 1) * classes


def test_layers_of_an_mlp_by_hand():
    rows = layer_rows("mnist", MNIST, 10, {"wide": plain("mlp", widths=[30, 20])})
    assert rows == [
        {"dataset": "mnist", "model": "wide", "layer": "fc1", "depth": 1, "parameters": 785 * 30},
        {"dataset": "mnist", "model": "wide", "layer": "fc2", "depth": 2, "parameters": 31 * 20},
        {"dataset": "mnist", "model": "wide", "layer": "output", "depth": 3, "parameters": 21 * 10},
    ]
    assert tables.from_rows(rows, tables.LAYERS).num_rows == 3


@pytest.mark.parametrize("width", [4, 8, 14, 32, 64])
def test_resnets_have_the_weights_of_the_closed_form(width):
    rows = layer_rows("cifar100", CIFAR, 100, {"net": plain("resnet18", width=width)})
    assert sum(row["parameters"] for row in rows) == resnet18(width, 100)


def test_resnets_have_the_published_sizes():
    """Stephenson et al. (ICLR 2021, Figure 4): 47,592 to 11,220,132 weights, for widths 4 to 64 and 100 classes."""
    published = {4: 47_592, 64: 11_220_132}
    rows = layer_rows("cifar100", CIFAR, 100, {str(width): plain("resnet18", width=width) for width in published})
    assert {
        width: sum(row["parameters"] for row in rows if row["model"] == str(width)) for width in published
    } == published


@pytest.mark.parametrize(
    ("factory", "shape", "options"),
    [("cnn_small", (1, 8, 8), {}), ("alexnet", CIFAR, {}), ("vgg16", CIFAR, {"width": 4, "batch_norm": True})],
)
def test_rows_add_up_to_the_weights_of_the_network(factory, shape, options):
    rows = layer_rows("some", shape, 10, {"net": plain(factory, **options)})
    network = models.build(factory, shape, 10, 3, options)
    assert sum(row["parameters"] for row in rows) == sum(parameter.numel() for parameter in network.parameters())
    depths = [row["depth"] for row in rows]
    assert depths == sorted(set(depths)) and rows[-1]["layer"] == "output"


def test_models_come_in_the_order_that_they_are_declared_in():
    rows = layer_rows("digits", (1, 8, 8), 10, {name: plain("mlp", widths=[2]) for name in "ba"})
    assert [row["model"] for row in rows] == ["b", "b", "a", "a"]
