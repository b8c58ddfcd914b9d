"""Probes, geometry, gradients, interventions on a GPU against the same on the CPU: equal up to rounding of float32."""

import copy
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from cells import RUNS, train, trained_cell
from safetensors.torch import load_file

from latentgen import activations, checkpoints, labels, models
from latentgen.activations.dumps import stream
from latentgen.activations.sources import Stream
from latentgen.geometry.declaration import GEOMETRY
from latentgen.geometry.evaluate import MEAN_FIELD, Analysis
from latentgen.gradients import evaluate as gradients
from latentgen.gradients.passes import summed
from latentgen.interventions import evaluate as edited
from latentgen.interventions.edit import edit_cell
from latentgen.interventions.relabel import relabel_cell
from latentgen.interventions.swaps import Swaps, scored
from latentgen.models.layers import weights_by_layer
from latentgen.probes import kinds
from latentgen.probes.evaluate import Task, evaluate
from latentgen.training.recipe import Recipe

pytestmark = pytest.mark.gpu

MODEL = {"factory": "resnet18", "options": {"width": 4}}
RECIPE = Recipe("sgd", 0.02, 64, epochs=2, momentum=0.9)
PROBES = {kind: kinds.complete({"kind": kind}) for kind in kinds.KINDS}


@pytest.fixture(scope="module")
def cell(tmp_path_factory, digits_folder):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder, RECIPE, (0, 1, 2), RUNS[:1], MODEL)
    return folder


def on_both(cell, digits_folder, digits, rows_of):
    """Values of ``rows_of(source, task)`` by all that names a row, from both devices."""
    task = Task(labels.RunLabels.read(cell / "labels.parquet", 0), digits.y_test, 10, 0)
    found = []
    for device in ("cpu", "cuda"):
        source = stream(digits_folder, MODEL, device, 1)
        source.load(checkpoints.at_epoch(cell, RUNS[0], 2).path)
        measured = ("value", "margin", "rank")
        rows = rows_of(source, task)
        found.append({str({k: v for k, v in row.items() if k not in measured}): row["value"] for row in rows})
    host, device = found
    assert host.keys() == device.keys() and len(host) > 10
    return [(name, host[name], device[name]) for name in host]


def test_every_probe(cell, digits_folder, digits):
    def rows_of(source, task):
        return evaluate(source, source.layers, PROBES, task, source.device)

    for name, host, device in on_both(cell, digits_folder, digits, rows_of):
        assert host == pytest.approx(device, abs=0.02), name


def test_geometry(cell, digits_folder, digits):
    """Of projected layers too, whose projection is one and the same; mean-field values may end in another optimum."""

    def rows_of(source, task):
        settings = GEOMETRY.complete({"points": 10, "directions": 20, "features": 40})
        rows = Analysis(source, {0: task.labels}, digits, settings, 1).mean_field(0)
        return [{name: row[name] for name in ("layer", "view", "metric", "value")} for row in rows]

    for name, host, device in on_both(cell, digits_folder, digits, rows_of):
        tolerance = 0.3 if any(metric in name for metric in MEAN_FIELD) else 1e-3
        assert host == pytest.approx(device, rel=tolerance), name


def test_features_by_each_example_s_own_statistics(digits):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    # Four times as large, because the last stage must keep more than one position.
    parts = ("x_train", "x_test")
    large = replace(digits, **{part: getattr(digits, part)[:64].repeat(4, 2).repeat(4, 3) for part in parts})
    network = models.build("resnet18", large.in_shape, 10, 0, {"width": 4})
    sources = [Stream(copy.deepcopy(network), large, torch.device(device)) for device in ("cpu", "cuda")]
    for mode in activations.BATCH_NORM:
        host, device = (next(source.chunks("test", ["stem", "layer4"], mode))[1] for source in sources)
        for layer in host:
            torch.testing.assert_close(host[layer], device[layer].cpu(), rtol=1e-4, atol=1e-4)


def test_weight_transfer(cell, digits_folder, digits):
    def rows_of(source, task):
        return edited.evaluate(source, source.layers, task)

    for name, host, device in on_both(cell, digits_folder, digits, rows_of):
        assert host == pytest.approx(device, abs=0.02), name


def test_gradients(cell, digits_folder, digits):
    def rows_of(source, task):
        return gradients.evaluate(source, task.labels)

    for name, host, device in on_both(cell, digits_folder, digits, rows_of):
        if host is None:
            assert device is None, name
        else:
            assert host == pytest.approx(device, rel=1e-3, abs=1e-4), name


def test_rewinding(cell, digits_folder, digits):
    def rows_of(source, task):
        on = scored(task.labels, digits.y_test, None, 0, source.device)
        swaps = Swaps(source, ["rewound", "reestimated"])
        return swaps.rows(load_file(cell / "checkpoints/data0-model0/epoch-0001.safetensors", str(source.device)), on)

    for name, host, device in on_both(cell, digits_folder, digits, rows_of):
        assert host == pytest.approx(device, abs=0.02), name


def test_continued_and_relabelled_trainings(cell, digits_folder):
    first = trained_cell(cell, digits_folder, RUNS[:1], MODEL, "cuda")
    settings = {"until": 3, "layers": ["last", "layer3"], "bias": ["zero", "kept"]}
    frame = edit_cell(first, settings, epoch=1, training=asdict(RECIPE)).to_pandas()
    assert len(frame.groupby(["layer", "rows", "bias"])) == 4 and set(frame["epoch"]) == {1, 2, 3}
    masc = kinds.complete({"kind": "masc"})
    frame = relabel_cell(first, {"probe": "masc", "layer": "last"}, probe=masc, training=asdict(RECIPE)).to_pandas()
    assert set(frame["epoch"]) == {0, 1, 2} and frame["value"].notna().all()


@pytest.mark.parametrize("model", [MODEL, {"factory": "cnn_small", "options": {}}], ids=["resnet18", "cnn_small"])
def test_equal_trainings_give_equal_bytes(model, tmp_path, digits_folder):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for name in ("one", "two"):
        train(tmp_path / name, digits_folder, RECIPE, (1, 2), RUNS[:1], model, "cuda")
    for name in ("checkpoints.json", "history.parquet", "records.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


class Recurrent(torch.nn.Module):
    """What cuDNN would differentiate in training mode alone."""

    probed = {"last": "pick"}

    def __init__(self):
        super().__init__()
        self.rnn, self.pick = torch.nn.LSTM(8, 16, batch_first=True), torch.nn.Identity()
        self.out = torch.nn.Linear(16, 10)

    def forward(self, x):
        return self.out(self.pick(self.rnn(x[:, 0])[0][:, -1]))


def test_gradients_of_recurrent_networks():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    network, images, wanted = Recurrent().eval(), torch.rand(6, 1, 8, 8), torch.arange(6)
    found = []
    for device in ("cpu", "cuda"):
        here, labels_here = images.to(device), wanted.to(device)
        parts = weights_by_layer(network.to(device), here[:1])
        sums = summed(network, here.__getitem__, labels_here, [np.arange(6)], list(network.parameters()))
        found.append((parts, sums.cpu()))
    assert found[0][0] == found[1][0]
    assert torch.allclose(found[0][1], found[1][1], atol=1e-4)
