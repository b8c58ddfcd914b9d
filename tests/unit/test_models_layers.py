"""Weights by layer, against what is known of the zoo and of awkward networks."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional

from latentgen import models
from latentgen.models.layers import weights_by_layer


def found(model, shape):
    return {part.layer: part for part in weights_by_layer(model.eval(), torch.rand(1, *shape))}


ZOO = [
    ("mlp", (1, 28, 28), {}),
    ("cnn", (1, 28, 28), {}),
    ("cnn", (1, 28, 28), {"dropout": 0.5}),
    ("alexnet", (3, 32, 32), {}),
    ("resnet18", (3, 32, 32), {"width": 4}),
    ("vgg16", (3, 32, 32), {"width": 4}),
    ("vgg16", (3, 32, 32), {"width": 4, "batch_norm": True}),
]


@pytest.mark.parametrize("name, shape, options", ZOO)
def test_every_weight_of_the_zoo_is_in_one_layer(name, shape, options):
    model = models.build(name, shape, 10, 0, options)
    parts = weights_by_layer(model.eval(), torch.rand(2, *shape))
    names = [name for part in parts for name in (*part.parameters, *part.buffers)]
    assert sorted(names) == sorted(model.state_dict())
    depths = [part.depth for part in parts]
    layers = ["input", *model.probed, "output"]
    assert depths == sorted(depths) and [layers[depth] for depth in depths] == [part.layer for part in parts]
    assert parts[-1].layer == "output" and all(name.startswith("head.") for name in parts[-1].parameters)


def test_layers_of_a_sequence_have_what_lies_between_them():
    parts = found(models.build("cnn", (1, 28, 28), 10, 0), (1, 28, 28))
    assert list(parts) == ["flat", "fc1", "fc2", "fc3", "output"]
    assert {name.split("_")[0] for name in parts["flat"].parameters} == {"conv1", "conv2", "conv3"}
    assert parts["fc2"].parameters == ("fc2.weight", "fc2.bias") and parts["fc2"].buffers == ()
    assert parts["output"].parameters == ("head.weight",)


def test_batch_norm_goes_with_its_convolution():
    vgg = found(models.build("vgg16", (3, 32, 32), 10, 0, {"width": 4, "batch_norm": True}), (3, 32, 32))
    assert "pool1" not in vgg
    assert set(vgg["conv3_2"].parameters) == {
        f"{kind}3_2.{name}" for kind in ("conv", "bn") for name in ("weight", "bias")
    }
    counted = {f"bn3_2.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(vgg["conv3_2"].buffers) == counted
    resnet = found(models.build("resnet18", (3, 32, 32), 10, 0, {"width": 4}), (3, 32, 32))
    assert list(resnet) == ["stem", "layer1", "layer2", "layer3", "layer4", "output"]
    assert "layer2.0.shortcut.bn.running_var" in resnet["layer2"].buffers


def test_statistics_of_a_layer_without_parameters_go_with_the_next():
    parts = OrderedDict(flat=nn.Flatten(), norm=nn.BatchNorm1d(4, affine=False), last=nn.Linear(4, 3))
    model = nn.Sequential(parts)
    model.probed = {"norm": "norm"}
    (only,) = weights_by_layer(model.eval(), torch.rand(1, 1, 2, 2))
    assert (only.layer, only.parameters) == ("output", ("last.weight", "last.bias"))
    assert "norm.running_mean" in only.buffers


class Awkward(nn.Module):
    """Shared weights, a parameter of the network's own, one that is applied by hand, a spare and a frozen one."""

    probed = {"first": "first", "second": "second"}

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(4))
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 3)
        self.between = nn.BatchNorm1d(4, affine=False)
        self.spare = nn.Linear(4, 4)
        self.first.bias.requires_grad_(False)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        x = self.first(x.flatten(1) + self.shift)
        x = self.second(self.between(functional.relu(x, inplace=True)))
        return functional.linear(functional.linear(x * self.scale, self.first.weight), self.last.weight)


def test_shared_bare_and_unused_weights_find_their_place():
    parts = found(Awkward(), (1, 2, 2))
    assert set(parts["first"].parameters) == {"shift", "first.weight"} and parts["first"].buffers == ("seen",)
    assert parts["second"].parameters == ("second.weight",)
    assert set(parts["second"].buffers) == {
        f"between.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert set(parts["output"].parameters) == {"scale", "last.weight"}


def test_the_network_is_left_as_it_was():
    model = models.build("resnet18", (3, 32, 32), 10, 0, {"width": 4}).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights_by_layer(model, torch.rand(3, 3, 32, 32))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_layer_that_is_not_reached_is_refused():
    model = models.build("mlp_small", (1, 8, 8), 10, 0)
    model.probed = {**model.probed, "beside": "extra"}
    model.extra = nn.Linear(1, 1)
    model.forward = lambda x: nn.Sequential.forward(model[:-1], x)
    with pytest.raises(ValueError, match="does not reach the layer 'beside'"):
        weights_by_layer(model.eval(), torch.rand(1, 1, 8, 8))
