"""The sweeps of widths: what each grid trains, and its size as its comment states it."""

import re

import numpy as np
import pytest
import yaml

from latentgen import grid, models, noise
from latentgen.figures import catalogue
from latentgen.models.sizes import layer_rows
from latentgen.numbers.models import sweeps
from repository import ROOT

CONFIG = ROOT / "config"

DIGITS = [4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256]
MNIST = [8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 1024, 2048]
RESNETS = [4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64]

#: File → data set, training examples, classes, image, factory, option, widths, levels, data seeds.
GRIDS = {
    "double-descent/digits": ("digits", 1347, 10, (1, 8, 8), "mlp", "widths", DIGITS, [0.0, 0.2], range(5)),
    "double-descent/mnist": ("mnist", 60_000, 10, (1, 28, 28), "mlp", "widths", MNIST, [0.2], range(5)),
    "double-descent/resnet18-cifar100": (
        *("cifar100", 50_000, 100, (3, 32, 32), "resnet18", "width", RESNETS, [0.1], range(3)),
    ),
}
FILES = pytest.mark.parametrize("name", GRIDS)


@pytest.fixture(scope="module")
def grids():
    return {name: grid.load(yaml.safe_load((CONFIG / f"{name}.yaml").read_text())) for name in GRIDS}


def comment(name):
    """Text of the comments at the head of a file."""
    head = re.split(r"\n(?=data_root|device)", (CONFIG / f"{name}.yaml").read_text())[0]
    return " ".join(line.removeprefix("#").strip() for line in head.splitlines())


def checkpoint(declared, name):
    """Bytes: parameters and buffers."""
    import torch

    _, _, classes, shape, *_ = GRIDS[name]
    with torch.device("meta"):
        model = models.build(declared["factory"], shape, classes, 0, declared["options"])
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


@FILES
def test_runs_and_the_sweep(grids, name):
    dataset, _, _, _, factory, option, widths, levels, seeds = GRIDS[name]
    found = grids[name]
    runs = sorted((run.model, run.level, run.data_seed, run.model_seed) for cell in found.cells for run in cell.runs)
    wanted = [f"{factory}-{width}" for width in widths]
    assert runs == sorted((model, level, seed, seed) for model in wanted for level in levels for seed in seeds)
    assert {(cell.dataset, cell.noise) for cell in found.cells} == {(dataset, "uniform")}
    value = {"widths": lambda width: [width], "width": lambda width: width}[option]
    for width, model in zip(widths, wanted, strict=True):
        assert found.models[model] == {"factory": factory, "options": {option: value(width)}}
    assert sweeps(found.models) == [wanted]


@FILES
def test_the_figure_can_be_drawn_with_geometry_of_the_last_layer(grids, name):
    cells = grids[name].cells
    assert "fig25" in catalogue.available(cells) and "geometry" in catalogue.tables("fig25", cells)
    assert all(cell.settings["geometry"]["layers"] == "last" for cell in cells)
    assert all(list(cell.settings["probes"]) == ["nearest_mean"] for cell in cells)


@FILES
def test_the_sweep_goes_from_fewer_weights_than_examples_to_more_than_examples_times_classes(grids, name):
    """A network can hardly memorise with the first, and should with the last."""
    dataset, examples, classes, shape, factory, *_ = GRIDS[name]
    sizes = {}
    for row in layer_rows(dataset, shape, classes, grids[name].models):
        sizes[row["model"]] = sizes.get(row["model"], 0) + row["parameters"]
    ordered = [sizes[model] for model in sweeps(grids[name].models)[0]]
    assert ordered == sorted(ordered)
    assert ordered[0] < examples and ordered[-1] > examples * classes
    if factory == "resnet18":
        assert f"{ordered[0]:,} weights at width 4 and {ordered[-1]:,} at width 64" in comment(name)


@FILES
def test_the_comment_states_runs_checkpoints_bytes_and_jobs(grids, name):
    cells, text = grids[name].cells, comment(name)
    runs = sum(len(cell.runs) for cell in cells)
    kept = {len({*cell.saved_epochs, cell.settings["training"]["epochs"]}) for cell in cells}
    total = sum(checkpoint(cell.declared_model, name) * len(cell.runs) for cell in cells) * max(kept)
    stated = re.search(r"(\d+) runs(?: in (\d+) cells that share jobs)?, each with up to (\d+) checkpoints", text)
    assert (int(stated[1]), {int(stated[3])}) == (runs, kept)
    assert stated[2] is None or int(stated[2]) == len(cells) < runs
    size = re.search(r"\((\S+) ([GM])B in all\); (\d+) jobs, (\d+) of geometry", text)
    assert float(size[1]) == pytest.approx(total / {"G": 1e9, "M": 1e6}[size[2]], rel=0.03)
    # One block: labels, training, probes and geometry of a cell are a job each.
    assert {len(cell.blocks) for cell in cells} == {1}
    assert int(size[4]) == len(cells)
    assert 4 * len(cells) < int(size[3]) < 4 * len(cells) + 20


@FILES
def test_the_stop_rule_misses_as_many_examples_as_the_comment_says(grids, name):
    _, examples, *_ = GRIDS[name]
    (rule,) = {cell.settings["training"]["stop_accuracy"] for cell in grids[name].cells}
    text = " ".join((CONFIG / f"{name}.yaml").read_text().replace("#", "").split())
    missed = 0 if "fit all given labels" in text else int(re.search(r"miss(?:es)? at most (\d+)", text)[1])
    assert round(examples * (1 - rule)) == missed


def test_the_resnets_memorise_to_99_percent_where_they_stop(grids):
    """Even if every example that is missed is mislabelled, in a draw six standard deviations below the mean."""
    (cell, *_) = grids["double-descent/resnet18-cifar100"].cells
    rate = 0.1 * 99 / 100
    fewest = 50_000 * rate - 6 * (50_000 * rate * (1 - rate)) ** 0.5
    assert 50_000 * (1 - cell.settings["training"]["stop_accuracy"]) <= 0.01 * fewest
    assert cell.settings["training"]["optimizer"] == "sgd" and cell.settings["training"]["momentum"] == 0.9
    assert (cell.settings["training"]["learning_rate"], cell.settings["training"]["batch_size"]) == (0.01, 128)


def test_the_comment_states_how_few_mislabelled_examples_some_class_has():
    low, high = map(
        int, re.search(r"has only (\d+) to (\d+) mislabelled", comment("double-descent/resnet18-cifar100")).groups()
    )
    true = np.repeat(np.arange(100), 500)
    for seed in range(3):
        given = noise.corrupt(true, 0.1, "uniform", 100, seed).given
        fewest = min(np.bincount(labels[given != true], minlength=100).min() for labels in (given, true))
        assert low <= fewest <= high
