"""Networks on trial: one for each clause of the contract that it breaks, and good ones of many kinds."""

import os
import random
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from cells import train, trained_cell
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from latentgen import models, seeds
from latentgen.activations.sources import Stream
from latentgen.datasets import Dataset
from latentgen.interventions.rewind import rewind_cell
from latentgen.models import verdicts
from latentgen.models.layers import weights_by_layer
from latentgen.models.trial import expect_batches, try_network
from latentgen.training.loop import Training
from latentgen.training.recipe import Recipe
from latentgen.training.state import load_weights, save_weights

pytestmark = pytest.mark.slow

SHAPE, CLASSES = (1, 8, 8), 10


class Small(nn.Module):
    """Good; what is wrong with a network is written over it."""

    probed, readout = {"hidden": "act"}, "out"

    def __init__(self, shape, classes, width=16):
        super().__init__()
        self.flat, self.inp, self.act = nn.Flatten(), nn.Linear(int(np.prod(shape)), width), nn.ReLU()
        self.out, self.spare = nn.Linear(width, classes), nn.Linear(width, 7)

    def hidden(self, x):
        return self.act(self.inp(self.flat(x)))

    def forward(self, x):
        return self.out(self.hidden(x))


Pair = namedtuple("Pair", "logits extra")


def giving(change):
    """A factory of networks whose output is ``change(network, logits)``."""

    class Given(Small):
        def forward(self, x):
            return change(self, super().forward(x))

    return Given


def having(change):
    """A factory of networks after ``change(network)``."""

    def make(shape, classes):
        network = Small(shape, classes)
        return change(network) or network

    return make


def attributes(**values):
    return having(lambda network: [setattr(network, name, value) for name, value in values.items()][:0] or network)


class Tuple(nn.Module):
    def forward(self, x):
        return x, x


class Turned(nn.Module):
    """Examples last, or, of a square, not first."""

    def forward(self, x):
        return x.T


class Grown(Small):
    def forward(self, x):
        if not hasattr(self, "late"):
            self.late = nn.Linear(64, 16)
        return self.out(self.act(self.late(x.flatten(1))))


class Twice(Small):
    def hidden(self, x):
        return self.act(self.act(self.inp(self.flat(x))))


class Sideways(Small):
    def hidden(self, x):
        return functional.relu(self.inp(self.flat(x)))


class SequenceFirst(Small):
    """Two positions of each of two images, the positions first."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.turn = nn.Identity()

    def forward(self, x):
        h = self.turn(self.hidden(x).unflatten(1, (2, 8)).transpose(0, 1))
        return self.out(h.transpose(0, 1).flatten(1))


class Neighbours(Small):
    def hidden(self, x):
        h = super().hidden(x)
        return h - h[:1]


class Squeezing(Small):
    def forward(self, x):
        return super().forward(x).squeeze()


class HiddenDraw(Small):
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.mask = torch.rand(16)

    def forward(self, x):
        return self.out(self.act(self.inp(self.flat(x)) * self.mask))


class OwnState(Small):
    def get_extra_state(self):
        return {"mask": 1}

    def set_extra_state(self, state): ...


class Auxiliary(Small):
    def forward(self, x):
        logits = super().forward(x)
        return Pair(logits, logits) if self.training else logits


class SmallBatches(Small):
    def forward(self, x):
        return super().forward(x.unflatten(0, (4, -1)).flatten(0, 1) if self.training else x)


class Unlike(Small):
    def named_children(self):
        raise RuntimeError("no children here")


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("no derivative")


def fails(shape, classes, width=3):
    if width < 4:
        raise ValueError("width must be at least 4")


def exits(shape, classes):
    raise SystemExit(3)


def needs(shape, classes, depth): ...


def changes_default(shape, classes):
    torch.set_default_dtype(torch.float64)
    return Small(shape, classes).float()


def numpy_draw(shape, classes):
    network = Small(shape, classes)
    network.inp.weight.data += torch.from_numpy(np.random.randn(16, 64)).float()
    return network


def python_weight(shape, classes):
    network = Small(shape, classes)
    network.out.bias.data.fill_(random.random())
    return network


def own_generator(shape, classes):
    network = Small(shape, classes)
    generator = torch.Generator()
    generator.seed()
    network.out.bias.data.uniform_(generator=generator)
    return network


def needs_large(shape, classes):
    network = nn.Sequential(nn.Conv2d(1, 4, 11), nn.Flatten(), nn.Linear(4, classes))
    network.probed = {"conv": "0"}
    return network


class NoWeights(nn.Module):
    probed = {"flat": "flat"}

    def __init__(self, shape, classes):
        super().__init__()
        self.flat, self.classes = nn.Flatten(), classes

    def forward(self, x):
        return self.flat(x)[:, : self.classes]


#: A factory, its options, and what the refusal says of it.
BAD = {
    "no module": (lambda shape, classes: "network", {}, ["the factory returns str, no torch.nn.Module"]),
    "it fails": (fails, {}, ["cannot be made: width must be at least 4"]),
    "an option out of range": (fails, {"width": 2}, ["cannot be made: width must be at least 4"]),
    "an option is missing": (needs, {}, ["TypeError", "depth"]),
    "an option too many": (needs, {"width": 2}, ["TypeError", "width"]),
    "it ends the process": (exits, {}, ["cannot be made: SystemExit: 3"]),
    "another default dtype": (changes_default, {}, ["changes torch's default dtype"]),
    "a tuple": (giving(lambda net, z: (z, z[:, :7])), {}, ["a tuple of (2, 10), (2, 7)", "return the logits alone"]),
    "a list": (giving(lambda net, z: [z]), {}, ["a list of (2, 10)"]),
    "a named tuple": (giving(lambda net, z: Pair(z, 1)), {}, ["a Pair of (2, 10), int"]),
    "a dict": (giving(lambda net, z: {"logits": z}), {}, ["a dict with the keys logits"]),
    "an object": (giving(lambda net, z: object()), {}, ["returns a object"]),
    "nothing": (giving(lambda net, z: None), {}, ["returns a NoneType", "(examples, 10)"]),
    "too few outputs": (giving(lambda net, z: z[:, :9]), {}, ["9 outputs for 10 classes"]),
    "too many outputs": (giving(lambda net, z: z.repeat(1, 2)), {}, ["20 outputs for 10 classes"]),
    "maps for logits": (giving(lambda net, z: z[:, :, None, None]), {}, ["shape (2, 10, 1, 1)", "(examples, 10)"]),
    "one loss": (giving(lambda net, z: z.mean()), {}, ["shape ()"]),
    "examples last": (giving(lambda net, z: z.T), {}, ["shape (10, 2)"]),
    "classes": (giving(lambda net, z: z.argmax(1)), {}, ["shape (2,)"]),
    "integers": (giving(lambda net, z: z.long()), {}, ["its logits are int64"]),
    "double logits": (giving(lambda net, z: z.double()), {}, ["its logits are float64"]),
    "double weights": (having(lambda net: net.double()), {}, ["is float64", "network.float()"]),
    "half weights": (having(lambda net: net.bfloat16()), {}, ["is bfloat16", "network.float()"]),
    "one double weight": (having(lambda net: net.spare.double() and None), {}, ["'spare.weight' is float64"]),
    "on no device": (having(lambda net: net.to("meta")), {}, ["'inp.weight' lies on meta"]),
    "not finite": (having(lambda net: nn.init.constant_(net.out.bias, np.nan) is None), {}, ["logits are not finite"]),
    "an infinite layer": (having(lambda net: nn.init.constant_(net.inp.bias, np.inf) is None), {}, ["not finite"]),
    "images too small": (needs_large, {}, ["fails on 2 images of shape (1, 8, 8)", "Kernel size can't be greater"]),
    "no weights": (NoWeights, {}, ["no weights that training could change"]),
    "frozen": (having(lambda net: net.requires_grad_(False)), {}, ["no weights that training could change"]),
    "detached": (giving(lambda net, z: z.detach()), {}, ["logits do not depend on its weights"]),
    "no layers": (attributes(probed=None), {}, ["needs an attribute 'probed'", "beside 'factory'"]),
    "layers in a list": (attributes(probed=["act"]), {}, ["needs an attribute 'probed'"]),
    "a misspelt layer": (attributes(probed={"hidden": "atc"}), {}, ["'atc', which does not exist", "mean 'act'"]),
    "a layer called input": (attributes(probed={"input": "act"}), {}, ["'input' always names"]),
    "a layer that is no file": (attributes(probed={"a/b": "act"}), {}, ["'a/b' cannot be the name of a layer"]),
    "a layer without name": (attributes(probed={1: "act"}), {}, ["1 cannot be the name of a layer"]),
    "a layer never called": (attributes(probed={"spare": "spare"}), {}, ["'spare', Linear) is never called"]),
    "a layer by function": (Sideways, {}, ["'act', ReLU) is never called"]),
    "a layer called twice": (Twice, {}, ["layer 'hidden'", "called 2 times", "called once"]),
    "a layer gives a tuple": (having(lambda net: setattr(net, "extra", Tuple()) or _through(net)), {}, ["a tuple of"]),
    "layers in disorder": (attributes(probed={"a": "act", "b": "inp"}), {}, ["in this one: b, a"]),
    "neighbours": (Neighbours, {}, ["depend on the order of the images"]),
    "random in use": (giving(lambda net, z: functional.dropout(z)), {}, ["from call to call in eval mode", "training"]),
    "one image squeezed": (Squeezing, {}, ["for one image", "shape (10,)"]),
    "a misspelt readout": (attributes(readout="oout"), {}, ["'oout' does not", "did you mean 'out'"]),
    "a readout not linear": (attributes(readout="act"), {}, ["must name an nn.Linear"]),
    "a readout not used": (attributes(readout="spare"), {}, ["'spare' is called 0 times"]),
    "a readout within": (attributes(readout="inp"), {}, ["'inp' gives are not the logits"]),
    "a readout fed otherwise": (attributes(probed={"hidden": "inp"}), {}, ["'hidden', 16 features, is not what feeds"]),
    "drawn by numpy": (numpy_draw, {}, ["differs in 'inp.weight'", "numpy"]),
    "drawn by random": (python_weight, {}, ["differs in 'out.bias'"]),
    "drawn by its own": (own_generator, {}, ["differs in 'out.bias'", "generator of your own"]),
    "a draw not kept": (HiddenDraw, {}, ["not in its state dict", "buffer"]),
    "a weight made late": (Grown, {}, ["a forward pass adds to its weights", "LazyLinear"]),
    "other state": (OwnState, {}, ["'_extra_state' of its state dict is no dense tensor"]),
    "more in training": (Auxiliary, {}, ["a Pair of", "in training mode"]),
    "batches of four": (SmallBatches, {}, ["in training mode fails on 2 images"]),
    "unlike any other": (Unlike, {}, ["cannot be tried: RuntimeError: no children here"]),
    "no derivative": (giving(lambda net, z: Broken.apply(z)), {}, ["no derivative"]),
}


def _through(network):
    """Let the hidden layer be one that returns a tuple."""
    network.probed = {"hidden": "extra"}
    network.forward = lambda x: network.out(network.extra(network.hidden(x))[0])


BAD["a layer of sequences"] = (
    lambda shape, classes: _with(SequenceFirst(shape, classes), probed={"turn": "turn"}, readout="out"),
    {},
    ["layer 'turn' depend on the order of the images", "first axis must be that of the examples"],
)


def _with(network, **values):
    for name, value in values.items():
        setattr(network, name, value)
    return network


def tried(monkeypatch, make, options=None, shape=SHAPE, **naming):
    """The trial of what ``make`` builds, which no module needs to hold."""
    monkeypatch.setattr(models, "factory", lambda name: make)
    return try_network({"factory": "own:make", "options": options or {}, **naming}, shape, CLASSES)


@pytest.mark.parametrize("case", BAD)
def test_what_breaks_the_contract_is_refused_by_name(monkeypatch, case):
    make, options, words = BAD[case]
    found = tried(monkeypatch, make, options)
    for word in words:
        assert word in str(found["refused"])
    assert torch.get_default_dtype() == torch.float32


# ---- what is good ----


class Lazy(nn.Sequential):
    probed, readout = {"conv": "1", "hidden": "4"}, "5"

    def __init__(self, shape, classes):
        parts = [nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(16), nn.ReLU()]
        super().__init__(*parts, nn.LazyLinear(classes))


class Inplace(Small):
    """What follows its probed layer works in the same memory."""

    probed, readout = {"linear": "inp", "hidden": "act"}, "out"

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.act = nn.ReLU(inplace=True)


class Attention(nn.Module):
    probed, readout = {"embedded": "embed", "attended": "block", "pooled": "pool"}, "out"

    def __init__(self, shape, classes):
        super().__init__()
        self.embed = nn.Linear(shape[2], 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.pool, self.out = nn.AdaptiveAvgPool1d(1), nn.Linear(16, classes)

    def forward(self, x):
        return self.out(self.pool(self.block(self.embed(x[:, 0])).transpose(1, 2)).flatten(1))


class Tied(Small):
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.out(self.act(self.b(torch.relu(self.a(self.inp(self.flat(x)))))))


class Shared(Small):
    """One module under two names."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.a = nn.Linear(16, 16)
        self.b = self.a

    def forward(self, x):
        return self.out(self.act(self.b(torch.relu(self.a(self.inp(self.flat(x)))))))


class Dropped(Small):
    def forward(self, x):
        return self.out(functional.dropout(self.hidden(x), 0.5, self.training))


def normalised(shape, classes):
    parts = OrderedDict(flat=nn.Flatten(), inp=nn.Linear(64, 16), norm=nn.BatchNorm1d(16), out=nn.Linear(16, classes))
    return _with(nn.Sequential(parts), probed={"norm": "norm"}, readout="out")


GOOD = {
    "small": Small,
    "lazy": Lazy,
    "in place": Inplace,
    "attention": Attention,
    "tied": Tied,
    "shared": Shared,
    "dropout": Dropped,
    "batch normalisation": normalised,
    "without readout": lambda shape, classes: _with(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), probed={"f": "0"}),
    "by keywords": lambda *, num_classes: Small(SHAPE, num_classes),
    "partly frozen": having(lambda net: net.inp.requires_grad_(False) and None),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_networks_are_accepted_and_described(monkeypatch, case):
    found = tried(monkeypatch, GOOD[case])
    assert found["refused"] is None and found["candidates"] == []
    network = models.initialised({"factory": "own:make", "options": {}}, SHAPE, CLASSES, 0)
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    spare = 16 * 7 + 7 if hasattr(network, "spare") else 0
    assert sum(layer["parameters"] for layer in found["layers"]) == trained - spare
    assert [layer["layer"] for layer in found["layers"]] == [*network.probed, "output"]


def test_the_trial_leaves_generators_as_they_are(monkeypatch):
    states = []
    for _ in range(2):
        states.append((torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()))
        tried(monkeypatch, Dropped)
    assert states[0] == states[1]


def test_lazy_networks_are_drawn_from_the_seed(monkeypatch):
    monkeypatch.setattr(models, "factory", lambda name: Lazy)
    model = {"factory": "own:make", "options": {}}
    made = []
    for seed, noise in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(noise)
        made.append(models.initialised(model, SHAPE, CLASSES, seed).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not torch.equal(made[0]["5.weight"], made[2]["5.weight"])
    assert made[0]["1.num_batches_tracked"] == 0  # the pass that finds the shapes leaves no traces


def by_name(model_name, pretrained=False, **options):
    """As timm's ``create_model``."""
    assert (model_name, pretrained) == ("small", False)
    return Small(SHAPE, options.pop("num_classes"), **options)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Small, {"width": 4}),
        (lambda shape, num_classes, width: Small(shape, num_classes, width), {"width": 4}),
        (lambda *args, **options: Small(*args, **options), {"width": 4}),
        (lambda *, num_classes=1000, width=1: Small(SHAPE, num_classes, width), {"width": 4}),
        (lambda **options: Small(SHAPE, options["num_classes"], options["width"]), {"width": 4}),
        (by_name, {"model_name": "small", "width": 4}),
    ],
    ids=range(6),
)
def test_factories_are_called_as_they_can_be(monkeypatch, make, options):
    found = tried(monkeypatch, make, options)
    assert found["refused"] is None and found["layers"][0]["features"] == 4


def test_naming_in_the_configuration_replaces_the_attributes(monkeypatch):
    found = tried(monkeypatch, Small, probed={"raw": "inp", "rectified": "act"}, readout="out")
    assert found["refused"] is None and [layer["layer"] for layer in found["layers"][:-1]] == ["raw", "rectified"]
    found = tried(monkeypatch, lambda shape, classes: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(64, classes)))
    assert "beside 'factory'" in found["refused"] and found["readout"] == "2"
    assert found["candidates"] == [{"module": "0", "shape": [64]}, {"module": "1", "shape": [64]}]
    named = attributes(readout=nn.Linear(2, 2))
    assert "rename it" in tried(monkeypatch, named, probed={"hidden": "act"}, readout="out")["refused"]


def test_networks_of_torchvision_need_no_wrapper():
    mobile = {"factory": "torchvision.models:mobilenet_v3_small", "options": {}}
    found = try_network(mobile, (3, 32, 32), 7)
    assert "needs an attribute 'probed'" in found["refused"] and found["readout"] == "classifier.3"
    modules = [one["module"] for one in found["candidates"]]
    naming = {
        "probed": {"stem": "features.0", "pooled": "avgpool", modules[-1]: modules[-1]},
        "readout": "classifier.3",
    }
    found = try_network({**mobile, **naming}, (3, 32, 32), 7)
    assert found["refused"] is None
    assert [layer["shape"] for layer in found["layers"]] == [[16, 16, 16], [576, 1, 1], [1024], [7]]
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    vit = {"factory": "torchvision.models:VisionTransformer", "options": sizes}
    layers = {"probed": {"block": "encoder.layers.encoder_layer_0", "norm": "encoder.ln"}}
    found = try_network({**vit, **layers}, (3, 32, 32), 7)
    assert found["refused"] is None and found["layers"][0]["shape"] == [17, 16]


# ---- tied weights, work in place ----


def random_data(n=21, classes=CLASSES, shape=SHAPE):
    rng = np.random.default_rng(0)
    arrays = {f"x_{split}": rng.integers(0, 256, (n, *shape), np.uint8) for split in ("train", "test")}
    labels = {f"y_{split}": np.arange(n) % classes for split in ("train", "test")}
    return Dataset(**arrays, **labels, n_classes=classes, pixel_max=255, digest="random")


RUN = {"dataset": "d", "model": "m", "noise": "uniform", "level": 0.0, "data_seed": 0, "model_seed": 0, "entry": "e"}


def trained(network, folder, data, batch_size, epochs):
    recipe = Recipe("adam", 0.01, batch_size, epochs)
    everyone, nobody = np.arange(len(data.x_train)), np.arange(0)
    made = (data.y_train, everyone, nobody, recipe, [0, 1], folder, torch.device("cpu"))
    training = Training(dict(RUN), data, network, *made)
    training.fit()
    return training


@pytest.mark.parametrize("make", [Tied, Shared])
def test_tied_weights_are_kept_resumed_and_told_apart(tmp_path, make):
    data = random_data()
    torch.manual_seed(0)
    first = make(SHAPE, CLASSES)
    start = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    whole = trained(first, tmp_path / "whole", data, 8, 3)

    second = make(SHAPE, CLASSES)
    second.load_state_dict(start)
    trained(second, tmp_path / "parts", data, 8, 2)
    third = make(SHAPE, CLASSES)
    third.load_state_dict(start)
    parts = trained(third, tmp_path / "parts", data, 8, 3)
    assert whole.weights(3).read_bytes() == parts.weights(3).read_bytes()

    load_weights(second, whole.weights(3))
    assert second.a.weight is second.b.weight and torch.equal(second.a.weight, first.a.weight)
    assert not torch.equal(first.a.weight, start["a.weight"])
    # One weight is of one layer, and counts once.
    names = [name for part in weights_by_layer(first.eval(), torch.rand(1, *SHAPE)) for name in part.parameters]
    assert names.count("a.weight") == 1 and "b.weight" not in names


def tied(in_shape, n_classes):
    return Tied(in_shape, n_classes)


def test_tied_weights_are_rewound_and_redrawn_under_all_their_names(tmp_path, digits_folder):
    """Against networks put together by hand."""
    run = {**RUN, "dataset": "digits", "model": "tied", "level": 0.6}
    model = {"factory": f"{__name__}:tied", "options": {}}
    train(tmp_path, digits_folder, Recipe("adam", 0.01, 64, 2), (0,), [run], model)
    cell = trained_cell(tmp_path, digits_folder, [run], model)
    settings = {"batch_norm": ["rewound"], "rerandomisations": 1, "examples": None}
    frame = rewind_cell(cell, settings).to_pandas()
    source = cell.stream()
    images, labels = source.pixels["test"].batch(slice(None)), torch.from_numpy(np.array(cell.data.y_test))
    first = load_file(tmp_path / "checkpoints/data0-model0/epoch-0000.safetensors")
    redrawn = models.initialised(model, SHAPE, CLASSES, seeds.derive("redraw", 0, 0)).state_dict()
    for weights, other in (("saved", first), ("redrawn", redrawn)):
        source.load(tmp_path / "checkpoints/data0-model0/epoch-0002.safetensors")
        with torch.no_grad():
            for name in ("inp.weight", "inp.bias", "a.weight", "a.bias", "b.bias"):
                source.model.get_parameter(name).copy_(other[name])
            expected = int((source.model(images).argmax(1) == labels).sum()) / len(labels)
        rows = frame[(frame["weights"] == weights) & (frame["epoch"] == 0) & (frame["layer"] == "hidden")]
        (value,) = rows[(rows["kind"] == "alone") & (rows["view"] == "test")]["value"]
        assert value == expected
    assert torch.equal(first["a.weight"], first["b.weight"])


def test_untied_weights_are_written_as_before(tmp_path):
    from safetensors.torch import save_file

    network = Small(SHAPE, CLASSES)
    save_weights(network, tmp_path / "ours.safetensors")
    save_file(network.state_dict(), tmp_path / "plain.safetensors")
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()


def test_layers_are_read_before_what_follows_works_in_place():
    network, data = Inplace(SHAPE, CLASSES).eval(), random_data()
    stream = Stream(network, data, torch.device("cpu"))
    _, parts = next(stream.chunks("test", ["linear", "hidden"]))
    expected = functional.linear(
        stream.pixels["test"].batch(slice(None)).flatten(1), network.inp.weight, network.inp.bias
    )
    assert torch.allclose(parts["linear"], expected, atol=1e-6) and parts["linear"].min() < 0
    assert torch.equal(parts["hidden"], parts["linear"].clamp(min=0))


# ---- a last batch of one ----


@pytest.mark.parametrize(
    ("n", "batch_size", "near"), [(21, 4, "3, 6"), (21, 20, "19, 21"), (21, 1, "3, 6"), (9, 8, "7, 9"), (1, 4, "none")]
)
def test_a_last_batch_of_one_is_refused_where_it_cannot_be_trained_on(tmp_path, n, batch_size, near):
    data = random_data(n)
    with pytest.raises(
        ValueError, match=f"training.batch_size: {batch_size} leaves a last batch of one of {n}"
    ) as error:
        trained(normalised(SHAPE, CLASSES), tmp_path, data, batch_size, 1)
    assert "Expected more than 1 value per channel" in str(error.value) and f"do not: {near}" in str(error.value)
    assert not list(tmp_path.glob("state*"))
    for size in map(int, near.split(", ") if near != "none" else ()):
        trained(normalised(SHAPE, CLASSES), tmp_path / str(size), data, size, 1)


def test_a_last_batch_of_one_is_trained_on_where_it_can_be(tmp_path):
    def no_call():
        pytest.fail("no network is needed")

    expect_batches(no_call, SHAPE, 21, 6)
    maps = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), flat=nn.Flatten()))
    maps.append(nn.Linear(72, CLASSES))
    before = {name: tensor.clone() for name, tensor in maps.state_dict().items()}
    states = torch.get_rng_state()
    expect_batches(lambda: maps, SHAPE, 21, 4)
    assert all(torch.equal(before[name], tensor) for name, tensor in maps.state_dict().items())
    assert torch.equal(states, torch.get_rng_state())
    trained(maps, tmp_path, random_data(), 4, 1)


# ---- verdicts ----


def asked(factory, layers=None, readout=(), batches=(), **naming):
    model = {"factory": factory, "options": {}, **naming}
    return {"model": model, "layers": layers or {}, "readout": list(readout), "batches": [list(one) for one in batches]}


HERE = {
    "good": asked(f"{__name__}:Small", {"embeddings.layers": ["hidden", "output", "last"]}, ["interventions.edit"]),
    "bad": asked(f"{__name__}:Auxiliary"),
    "single": asked(f"{__name__}:normalised", batches=[(4, 0.0), (6, 0.0), (4, 0.1)]),
    "misnamed": asked(f"{__name__}:Small", {"geometry.layers": ["hiden"], "interventions.edit.layers": ["output"]}),
    "unread": asked("latentgen.models.mlp:mlp", {}, [], probed={"fc1": "relu1"}),
    "missing": asked("no.such.module:make"),
}


@pytest.fixture(scope="module")
def known():
    elsewhere = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), elsewhere])
    yield {one["name"]: one for one in verdicts.verdicts(HERE, "squares", random_data())}
    os.environ["PYTHONPATH"] = elsewhere


def test_each_network_has_a_verdict_of_its_own(known):
    assert {name for name, one in known.items() if one["refused"]} == {"bad", "missing", "unread"}
    assert "No module named 'no'" in known["missing"]["refused"]
    assert "'fc1', 128 features, is not what feeds the readout 'head'" in known["unread"]["refused"]
    assert known["good"]["unmet"] == []
    assert ["training.batch_size: 4" in line for line in known["single"]["unmet"]] == [True]
    first, second = known["misnamed"]["unmet"]
    assert "geometry.layers: 'hiden' is no layer" in first and "did you mean 'hidden'" in first
    assert "interventions.edit.layers: 'output' is no layer" in second
    lines = verdicts.refusals(known.values())
    assert len(lines) == 6 and all("images 1 × 8 × 8, 10 classes: " in line for line in lines)


def test_the_listing_names_layers_and_is_ready_for_the_configuration(known):
    import yaml

    text = verdicts.listing(known.values())
    assert "  hidden  act           16           16       1,040\n" in text and text.count("REFUSED") == 6
    plain = {"factory": "torchvision.models:mobilenet_v3_small", "options": {}}
    one = {**known["good"], "name": "mobile", "factory": plain["factory"], **try_network(plain, (3, 32, 32), 10)}
    lines = verdicts.listing([one]).splitlines()
    first = lines.index("  mobile:")
    pasted = yaml.safe_load("\n".join(lines[first:]))["mobile"]
    assert pasted.pop("factory") == plain["factory"]
    assert try_network({**plain, **pasted}, (3, 32, 32), 10)["refused"] is None


def test_a_training_heeds_the_verdict_on_its_own_network(known, tmp_path, monkeypatch):
    import json

    file, data = tmp_path / "squares.json", random_data()
    file.write_text(json.dumps(list(known.values())))
    with monkeypatch.context() as patched:
        patched.setattr(models, "initialised", lambda *_: pytest.fail("built again"))
        verdicts.expect_accepted(file, "good", HERE["good"]["model"], data)
        with pytest.raises(verdicts.Refused, match=r"models.bad \(.*Auxiliary\), images .*: it returns a Pair"):
            verdicts.expect_accepted(file, "bad", HERE["bad"]["model"], data)
    # Without a verdict, or after a change, it is tried on the spot.
    changed = {**HERE["good"]["model"], "options": {"width": 0}}
    for name, model, where in (("good", changed, file), ("bad", HERE["bad"]["model"], tmp_path / "none")):
        with pytest.raises(verdicts.Refused):
            verdicts.expect_accepted(where, name, model, data)


def test_another_process_must_make_the_same_network(tmp_path, monkeypatch):
    """Sets of text have another order there."""
    (tmp_path / "sets.py").write_text(
        "from test_models_trial import Small, nn\n"
        "def make(shape, classes):\n"
        "    network = Small(shape, classes)\n"
        "    for name in {str(number) for number in range(40)}:\n"
        "        setattr(network, 'x' + name, nn.Linear(2, 2))\n"
        "    return network\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    wanted = {"sets": asked("sets:make"), "plain": asked(f"{__name__}:Small")}
    found = verdicts.verdicts(wanted, "squares", random_data())
    assert "another process makes another network" in found[0]["refused"] and found[1]["refused"] is None
