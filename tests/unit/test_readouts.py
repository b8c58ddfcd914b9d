"""Readouts whose weight is computed from other parameters: what an edit leaves them computing, or why it is refused."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from cells import train, trained_cell
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import spectral_norm as older_spectral_norm
from torch.nn.utils import weight_norm as older_weight_norm

from latentgen.activations.dumps import stream
from latentgen.checkpoints import at_epoch
from latentgen.gradients.blocks import gradients_block
from latentgen.interventions import readouts
from latentgen.interventions.edit import edit_cell
from latentgen.interventions.heads import PUBLISHED, edited, expect_to_feed
from latentgen.interventions.rewind import rewind_cell
from latentgen.interventions.transfer import transfer_block
from latentgen.models.layers import weights_by_layer
from latentgen.training.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*:FutureWarning")


class Cosine(nn.Linear):
    """A readout by cosines."""

    def forward(self, x):
        return nn.functional.linear(nn.functional.normalize(x), nn.functional.normalize(self.weight))


class Doubled(nn.Module):
    """A parametrization without an inverse."""

    def forward(self, weight):
        return 2 * weight


class Halved(Doubled):
    def right_inverse(self, weight):
        return weight / 2


def pruned(amount):
    return lambda linear: prune.random_unstructured(linear, "weight", amount=amount)


def parametrized(part):
    return lambda linear: parametrize.register_parametrization(linear, "weight", part)


TAKING = {
    "plain": lambda linear: linear,
    "weight_norm": parametrizations.weight_norm,
    "weight_norm of all": lambda linear: parametrizations.weight_norm(linear, dim=None),
    "older weight_norm": older_weight_norm,
    "older weight_norm of all": lambda linear: older_weight_norm(linear, dim=None),
    "nothing pruned": pruned(0.0),
    "parametrized with an inverse": parametrized(Halved()),
    "parametrized bias": lambda linear: parametrize.register_parametrization(linear, "bias", Halved()),
}
REFUSING = {
    "spectral_norm": (parametrizations.spectral_norm, "_SpectralNorm"),
    "older spectral_norm": (older_spectral_norm, "SpectralNorm"),
    "pruned": (pruned(0.5), "RandomUnstructured"),
    "parametrized without an inverse": (parametrized(Doubled()), "Doubled"),
    "cosines": (lambda linear: Cosine(16, 10), "Cosine"),
}


def network(wrap, shape=(1, 8, 8), classes=10):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        features = shape[0] * shape[1] * shape[2]
        layers = [nn.Flatten(), nn.Linear(features, 16), nn.ReLU(), wrap(nn.Linear(16, classes))]
    model = nn.Sequential(*layers).eval()
    model.probed, model.readout = {"hidden": "2"}, "3"
    return model


ROWS = nn.functional.normalize(torch.randn(10, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("bias", [0, 1], ids=["zero bias", "kept bias"])
@pytest.mark.parametrize("name", TAKING)
def test_an_edited_network_computes_the_new_rows(name, bias):
    model = network(TAKING[name])
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        features = model[:3](images)
        model(images)
        kept = model[3].bias.clone() * bias
        edited(model, "last", PUBLISHED[bias], ROWS)
        torch.testing.assert_close(model(images), features @ ROWS.float().T + kept, atol=1e-5, rtol=1e-5)
    # What is trained on are the parameters that the weight is computed from.
    model(images).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", REFUSING)
def test_readouts_that_cannot_take_rows_are_refused_by_name(name):
    wrap, part = REFUSING[name]
    model = network(wrap)
    with pytest.raises(ValueError, match="the readout '3' does not compute") as refused:
        edited(model, "last", PUBLISHED[0], ROWS)
    assert part.lstrip("_") in str(refused.value)
    assert "torch.nn.Linear" in str(refused.value) and "leave out the intervention 'edit'" in str(refused.value)


def test_a_readout_with_the_weight_of_another_layer_is_refused():
    model = network(lambda linear: linear)
    model.append(nn.Linear(16, 10))
    model[4].weight = model[3].weight
    before = model[3].weight.clone()
    with pytest.raises(ValueError, match="readout '3' shares a parameter with the submodule '4'"):
        edited(model, "last", PUBLISHED[0], ROWS)
    assert torch.equal(model[3].weight, before)


def test_what_a_readout_computes_is_found_by_calling_it():
    weight, bias = ROWS.float(), torch.linspace(-1, 1, 10)
    head = nn.Linear(16, 10)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    assert readouts.computes(head, weight, bias)
    assert not readouts.computes(head, weight, None)
    assert not readouts.computes(head, weight * 1.01, bias)
    head.register_forward_hook(lambda _module, _inputs, output: output / 2)
    assert not readouts.computes(head, weight, bias)


RECIPE = Recipe("adam", 0.005, 64, epochs=2)
RUN = {
    "dataset": "digits",
    "model": "own",
    "noise": "uniform",
    "level": 0.6,
    "data_seed": 0,
    "model_seed": 0,
    "entry": "abc",
}
FACTORIES = {
    "weight_norm": parametrizations.weight_norm,
    "older_weight_norm": older_weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "older_spectral_norm": older_spectral_norm,
    "cosine": lambda linear: Cosine(16, 10),
}


def own(shape, classes, wrap):
    return network(FACTORIES[wrap], shape, classes)


@pytest.fixture(scope="module")
def cells(tmp_path_factory, digits_folder):
    """Cells of networks with a wrapped readout, trained for two epochs."""
    made = {}

    def cell(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("wrapped")
            model = {"factory": f"{__name__}:own", "options": {"wrap": name}}
            train(folder, digits_folder, RECIPE, (0, 1, 2), [RUN], model)
            made[name] = trained_cell(folder, digits_folder, [RUN], model)
        return made[name]

    return cell


EDIT = {"until": 2, "layers": ["last"], "bias": ["zero"]}


@pytest.mark.parametrize("name", ["weight_norm", "older_weight_norm"])
def test_normalised_readouts_are_edited_and_trained_on(cells, name):
    """What is trained on starts as the transfer says, and ends elsewhere than the control."""
    history = edit_cell(cells(name), EDIT, epoch=1, training=asdict(RECIPE)).to_pandas()
    transfer = transfer_block(cells(name), {"layers": "last"}, block="0001-0001").to_pandas()
    published = transfer[(transfer.rows == "axis") & (transfer.norm == "unit") & (transfer.mix == 1)]
    expected = published[published.bias == "zero"].set_index(["split", "labels"])["value"]
    test = history[(history.split == "test") & (history["mode"] == "evaluated") & (history.metric == "accuracy")]
    found = test.set_index(["rows", "epoch"])["value"]
    assert found["axis", 1] == expected["test", "true"] != found["none", 1]


@pytest.mark.parametrize("name", ["spectral_norm", "older_spectral_norm", "cosine"])
def test_readouts_that_cannot_be_edited_are_refused_before_the_control_is_trained(cells, name):
    with pytest.raises(ValueError, match="the readout '3'"):
        edit_cell(cells(name), EDIT, epoch=1, training=asdict(RECIPE))
    assert not list((cells(name).folder / "partial" / "edit").glob("epoch-0001/*/*"))


def test_a_readout_that_is_more_than_its_weight_has_no_transfer(cells):
    with pytest.raises(ValueError, match=r"the readout '3' \(Cosine\) computes something else"):
        transfer_block(cells("cosine"), {"layers": "last"}, block="0001-0001")


@pytest.mark.parametrize("name", [name for name in FACTORIES if name != "cosine"])
def test_the_unedited_readout_is_the_network_as_it_is(cells, digits_folder, digits, name):
    cell = cells(name)
    frame = transfer_block(cell, {"layers": "last"}, block="0001-0001").to_pandas()
    found = frame[(frame.rows == "none") & (frame.split == "test")]["value"].item()
    source = stream(digits_folder, cell.model, "cpu", 1)
    source.load(at_epoch(cell.folder, RUN, 1).path)
    logits = torch.cat([part["output"] for _, part in source.chunks("test", ["output"])]).numpy()
    assert found == np.mean(logits.argmax(1) == digits.y_test)
    expect_to_feed(source, "hidden")


@pytest.mark.parametrize("name", FACTORIES)
def test_rewinding_and_gradients_take_parameters_that_weights_are_computed_from(cells, digits_folder, digits, name):
    cell = cells(name)
    source = stream(digits_folder, cell.model, "cpu", 1)
    source.load(at_epoch(cell.folder, RUN, 2).path)
    layers = weights_by_layer(source.model, source.pixels["test"].batch(slice(0, 1)))
    trained = {weight for weight, _ in source.model.named_parameters()}
    owned = {weight for layer in layers for weight in layer.parameters}
    assert owned == trained - ({"3.bias"} if name == "cosine" else set())
    assert {buffer for layer in layers for buffer in layer.buffers} == set(source.model.state_dict()) - trained

    rows = rewind_cell(cell, {"batch_norm": ["rewound"], "rerandomisations": 1, "examples": None}).to_pandas()
    # All layers of an earlier epoch put back are the network of that epoch, the readout's own alone is a hybrid.
    source.load(at_epoch(cell.folder, RUN, 0).path)
    logits = torch.cat([part["output"] for _, part in source.chunks("test", ["output"])]).numpy()
    whole = rows[(rows.epoch == 0) & (rows.weights == "saved") & (rows["view"] == "test") & (rows.kind == "prefix")]
    assert whole[whole.layer == "output"]["value"].item() == np.mean(logits.argmax(1) == digits.y_test)

    counted = gradients_block(cell, True, block="0002-0002").to_pandas()
    size = sum(parameter.numel() for weight, parameter in source.model.named_parameters() if weight in owned)
    assert set(counted[counted.layer == "network"]["parameters"]) == {size}
    assert np.isfinite(counted[(counted.metric == "norm") & (counted.group == "all")]["value"].astype(float)).all()
