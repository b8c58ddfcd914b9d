"""The grids of published geometry: one recipe, and the size of each as its comment states it."""

import re

import numpy as np
import pytest
import yaml

from latentgen import grid, models
from latentgen.figures import catalogue
from repository import ROOT

FOLDER = ROOT / "config" / "stephenson2021"

#: Chosen, because the published recipe is not known; no weight decay and no schedule.
RECIPE = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "batch_size": 128, "shuffle": True}
#: The CNN does not start with that one; this is that of Ketha & Ramaswamy (TMLR 2026) for it, but shuffled.
OF_CNN = {"optimizer": "adam", "learning_rate": 2e-4, "momentum": 0.0, "batch_size": 128, "shuffle": True}

#: With a hundred classes, whose geometry is expensive, and with ten.
HUNDRED = [*range(21), *range(25, 201, 5)]
TEN = [0, 1, 2, *range(4, 21, 2), *range(25, 501, 5)]

#: File → data set, model → (factory, options), noise, most epochs, kept epochs, features of the geometry.
VGG = {"vgg16": ("vgg16", {}), "vgg16-bn": ("vgg16", {"batch_norm": True})}
GRIDS = {
    "vgg16-cifar100": ("cifar100", VGG, "uniform", 200, HUNDRED, 5000),
    "vgg16-cifar100-exclude-true": ("cifar100", VGG, "exclude_true", 200, HUNDRED, 5000),
    "resnet18-cifar100": ("cifar100", {"resnet18": ("resnet18", {})}, "uniform", 200, HUNDRED, 5000),
    "vgg16-cifar10": (
        "cifar10",
        {"vgg16-narrow": ("vgg16", {"batch_norm": True, "width": 16})},
        "uniform",
        500,
        TEN,
        None,
    ),
    "cnn-mnist": ("mnist", {"cnn": ("cnn", {})}, "uniform", 500, TEN, None),
}
FILES = pytest.mark.parametrize("name", GRIDS)

#: Features of the widest layer that probes decompose, where there is a limit.
WIDEST = 8192
LIMIT = {name: None if name in ("resnet18-cifar100", "cnn-mnist") else WIDEST for name in GRIDS}

#: Data set → training examples, classes, image.
DATA = {
    "cifar100": (50_000, 100, (3, 32, 32)),
    "cifar10": (50_000, 10, (3, 32, 32)),
    "mnist": (60_000, 10, (1, 28, 28)),
}


@pytest.fixture(scope="module")
def grids(tmp_path_factory):
    """Every file of the folder as a `latentgen.grid.Grid`, loaded where a user calls Snakemake."""
    where = tmp_path_factory.mktemp("stephenson")
    (where / "config").symlink_to(ROOT / "config")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        return {path.stem: grid.load(yaml.safe_load(path.read_text())) for path in FOLDER.glob("*.yaml")}


def comment(name):
    """Text of the comment at the head of a file."""
    lines = (FOLDER / f"{name}.yaml").read_text().split("\ndata_root")[0].splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines)


def size(cell):
    """Bytes of a checkpoint: parameters and buffers."""
    import torch

    _, classes, shape = DATA[cell.dataset]
    declared = cell.declared_model
    with torch.device("meta"):
        model = models.build(declared["factory"], shape, classes, 0, declared["options"])
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def test_the_folder_holds_these_files_and_their_index(grids):
    assert sorted(grids) == sorted([*GRIDS, "all"])


@FILES
def test_recipe_labels_epochs_and_runs(grids, name):
    dataset, networks, noise, epochs, kept, _ = GRIDS[name]
    cells = grids[name].cells
    assert {cell.model: tuple(cell.declared_model[key] for key in ("factory", "options")) for cell in cells} == networks
    recipe = {**(OF_CNN if name == "cnn-mnist" else RECIPE), "epochs": epochs, "stop_accuracy": 0.996}
    for cell in cells:
        assert (cell.dataset, cell.noise, cell.level) == (dataset, noise, 0.5)
        assert cell.settings["training"] == recipe
        assert cell.saved_epochs == kept and cell.settings["validation"] == 0
    runs = sorted((run.model, run.data_seed, run.model_seed) for cell in cells for run in cell.runs)
    assert runs == [(model, seed, seed) for model in sorted(networks) for seed in (0, 1, 2)]


@FILES
def test_the_stop_rule_implies_that_permuted_examples_are_memorised(grids, name):
    """To 99 %, even if every example that is missed is mislabelled, and in no draw of labels are as few as six
    standard deviations below the mean."""
    for cell in grids[name].cells:
        examples, classes, _ = DATA[cell.dataset]
        rate = 0.5 * (classes - 1) / classes if cell.noise == "uniform" else 0.5
        mislabelled = examples * rate - 6 * (examples * rate * (1 - rate)) ** 0.5
        missed = examples * (1 - cell.settings["training"]["stop_accuracy"])
        assert missed <= 0.01 * mislabelled
        stated = re.search(r"misses at most (\d+) of ([\d,]+) examples", (FOLDER / f"{name}.yaml").read_text())
        assert int(stated[1]) == round(missed) and int(stated[2].replace(",", "")) == examples


@FILES
def test_geometry_and_probes(grids, name):
    features = GRIDS[name][-1]
    for cell in grids[name].cells:
        found = dict(cell.settings["geometry"])
        simulated = found.pop("simulated")
        assert found.pop("layers") == "all"
        assert found == {"points": 50, "directions": 300, "kappa": 0.0, "restarts": 10, "features": features}
        assert simulated["dichotomies"] == 100 and "last" in simulated["epochs"]
        # Without a projection 500 points cost the square of 500 at most, and nothing is lost.
        assert (features is None) == (DATA[cell.dataset][1] * found["points"] < 5000)
        probes = cell.settings["probes"]
        plain = {"fit_labels": "given", "batch_norm": "running", "score": ["test"], "family": "moments"}
        assert probes == {
            "masc": {"kind": "masc", "variance": 0.99, "n_axes": None, "max_features": LIMIT[name], **plain},
            "velpic": {"kind": "velpic", "max_features": LIMIT[name], **plain},
        }


def test_the_comment_states_how_many_images_rewinding_takes(grids):
    cell = grids["vgg16-cifar100"].cells[0]
    layers, rerandomisations = 13 + 1, cell.settings["interventions"]["rewind"]["rerandomisations"]
    networks = 3 * (layers - 1)
    scored = 2 * cell.settings["interventions"]["rewind"]["examples"]
    once = (len(cell.saved_epochs) - 1 + rerandomisations) * networks * scored
    again = once * 3 / 2  # statistics are estimated on the training images that are scored
    text = comment("vgg16-cifar100")
    assert f"has {networks} networks for each earlier epoch" in text
    assert f"{once / 1e6:.0f} million forward passes of an image for a run, {(once + again) / 1e6:.0f} million" in text


@FILES
def test_what_else_is_asked_of_the_runs(grids, name):
    for cell in grids[name].cells:
        treatments = ["reestimated"] if name == "cnn-mnist" else ["rewound", "reestimated"]
        assert cell.settings["interventions"] == {
            "transfer": {"layers": "last"},
            "rewind": {"batch_norm": treatments, "rerandomisations": 3, "examples": 10_000},
        }
        assert cell.settings["gradients"] and cell.settings["embeddings"]["layers"] == ["output"]


@FILES
def test_each_file_draws_the_figures_of_the_paper(grids, name):
    """All four views have examples at this level, and a cell has what each figure needs."""
    figures = {f"fig{number}" for number in (*range(16, 25), 26)}
    assert figures <= set(catalogue.available(grids[name].cells))


@FILES
def test_the_comment_states_runs_checkpoints_and_bytes(grids, name):
    cells = grids[name].cells
    runs = sum(len(cell.runs) for cell in cells)
    kept = len(GRIDS[name][4])
    each = max(map(size, cells)) / 1e6
    total = sum(size(cell) * len(cell.runs) * kept for cell in cells)
    text = comment(name)
    assert f"{runs} runs, each with up to {kept} checkpoints of {each:.{1 if each < 10 else 0}f} MB" in text
    stated = re.search(r"\((\S+) ([GM])B in all\); (\d+) jobs, (\d+) of geometry", text)
    assert float(stated[1]) == pytest.approx(total / {"G": 1e9, "M": 1e6}[stated[2]], rel=0.02)
    blocks = sum(len(cell.blocks) for cell in cells)
    assert int(stated[4]) == blocks


@FILES
def test_a_job_has_as_few_checkpoints_as_it_has_time_for(grids, name):
    """With a hundred classes ten take two hours; with ten classes a job is one of probes first of all."""
    hundred = DATA[GRIDS[name][0]][1] == 100
    for cell in grids[name].cells:
        spans = [tuple(map(int, block.split("-"))) for block in cell.blocks]
        most = max(sum(first <= epoch <= last for epoch in cell.saved_epochs) for first, last in spans)
        assert most == (10 if hundred else 28)
    assert ("a job has at most 10 checkpoints" in (FOLDER / f"{name}.yaml").read_text()) == hundred


@pytest.mark.parametrize("name", ["vgg16-cifar100", "resnet18-cifar100"])
def test_the_comment_states_what_geometry_costs_at_every_epoch_and_at_those_kept(grids, name):
    cell, text = grids[name].cells[0], comment(name)
    stated = re.search(
        r"about (\d+) s of a CPU core for each of (\d+) layers in 4 views, "
        r"which is (\d+) h a run for all 200 epochs",
        text,
    )
    seconds, layers, hours = map(int, stated.groups())
    assert layers == len(widths(cell)) + 1  # the output
    assert round(201 * 4 * layers * seconds / 3600) == hours
    some = re.search(r"(\d+) h at that rate, and (\S+) h for a job of 10 checkpoints", text)
    assert int(some[1]) == round(len(cell.saved_epochs) * 4 * layers * seconds / 3600)
    assert some[2] == f"{10 * 4 * layers * seconds / 3600:.1f}"


def widths(cell):
    """Features of the input and of each probed layer."""
    import torch

    _, classes, shape = DATA[cell.dataset]
    declared = cell.declared_model
    found = {"input": shape[0] * shape[1] * shape[2]}
    with torch.device("meta"):
        model = models.build(declared["factory"], shape, classes, 0, declared["options"]).eval()
        for layer, module in model.probed.items():
            model.get_submodule(module).register_forward_hook(
                lambda _module, _inputs, output, layer=layer: found.update({layer: output[0].numel()})
            )
        model(torch.zeros(1, *shape))
    return found


def room(cell):
    """Examples that there is room for when the classes of a layer that keeps them have all come, a thousand at a time.

    A class closes a block of 1,024, and doubles its room as the next one fills.
    """
    examples, classes, _ = DATA[cell.dataset]
    total, filled, space = 0, np.zeros(classes, int), np.zeros(classes, int)
    labels = np.random.default_rng(0).integers(classes, size=(examples // 1000, 1000))
    for counts in [np.bincount(chunk, minlength=classes) for chunk in labels]:
        closing = filled + counts >= 1024
        total += 1024 * closing.sum()
        space[closing] = 0
        filled = (filled + counts) % 1024
        space = np.where(filled > space, np.minimum(1024, np.maximum(filled, 2 * space)), space)
    return int(total + space.sum())


def memory(cell, widest):
    """Features of the layers that share a pass, and gigabytes that MASC has of them: rows, Gram matrices, axes, and the
    most at once.

    A class's examples are kept in float32 while they are no more than the features, and give as many axes at most.
    Beyond that there are a Gram matrix and as many axes as features, both float64, and room for 1,024 examples. When
    all have come, the axes of one layer after the other take the place of what they are of; while they do, there is a
    square matrix for each class.
    """
    examples, classes, _ = DATA[cell.dataset]
    each = examples // classes
    layers = np.array([width for layer, width in widths(cell).items() if layer != "input" and width <= widest])
    dual = layers >= each
    rows = 4 * examples * layers * dual
    grams = 8 * classes * layers**2 * ~dual
    axes = 8 * classes * np.minimum(each, layers) * layers
    collected = np.where(dual, 4 * room(cell) * layers, grams + 4 * classes * 1024 * layers)
    square = 8 * classes * np.minimum(each, layers) ** 2
    at_once = collected[::-1].cumsum()[::-1] + axes.cumsum() + square
    return int(layers.sum()), [size / 1e9 for size in (rows.sum(), grams.sum(), axes.sum(), at_once.max())]


OF_VGG = {"conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"}


@pytest.mark.parametrize(
    ("name", "wide", "gpu"),
    [
        ("vgg16-cifar100", OF_VGG, 80),
        ("vgg16-cifar100-exclude-true", OF_VGG, 80),
        ("resnet18-cifar100", {"stem", "layer1"}, 80),
        ("vgg16-cifar10", {"conv1_1", "conv1_2"}, 24),
        ("cnn-mnist", set(), 24),
    ],
)
def test_wide_layers_are_left_out_only_where_a_gpu_has_not_the_memory(grids, name, wide, gpu):
    for cell in grids[name].cells:
        assert {layer for layer, width in widths(cell).items() if width > WIDEST} == wide
        assert (LIMIT[name] is None) == (memory(cell, np.inf)[1][-1] <= gpu)
        assert memory(cell, LIMIT[name] or np.inf)[1][-1] <= gpu


@pytest.mark.parametrize(
    ("name", "widest", "stated"),
    [
        (
            "vgg16-cifar100",
            WIDEST,
            "have {features:,} together: the examples that MASC decomposes take {rows:.0f} GB of the device's memory "
            "(float32), its axes up to {axes:.0f} GB (float64, where layers need all of them), and at once it is up to "
            "{at_once:.0f} GB",
        ),
        (
            "vgg16-cifar100",
            np.inf,
            "Without the limit, null, it would be {rows:.0f}, {axes:.0f} and {at_once:.0f} GB",
        ),
        (
            "resnet18-cifar100",
            np.inf,
            "{features:,} features together: the examples that MASC decomposes take {rows:.0f} GB of the device's "
            "memory (float32), its axes up to {axes:.0f} GB (float64, where layers need all of them), and at once it "
            "is up to {at_once:.0f} GB",
        ),
        (
            "resnet18-cifar100",
            WIDEST,
            "max_features: 8192 leaves out stem and layer1, and it is {rows:.0f}, {axes:.0f} and {at_once:.0f} GB",
        ),
        (
            "vgg16-cifar10",
            WIDEST,
            "have {features:,} together: the examples that MASC decomposes take {rows:.0f} GB of memory (float32), the "
            "Gram matrices of the narrower layers {grams:.0f} GB (float64), its axes up to {axes:.0f} GB (float64, "
            "where layers need all of them), and at once it is up to {at_once:.0f} GB",
        ),
        (
            "vgg16-cifar10",
            np.inf,
            "Without the limit, null, it would be {rows:.0f}, {grams:.0f}, {axes:.0f} and {at_once:.0f} GB",
        ),
        ("cnn-mnist", np.inf, "has more than 576 features, and MASC takes up to {at_once:.1f} GB at once"),
    ],
)
def test_the_comment_states_the_memory_of_masc_with_the_limit_and_without(grids, name, widest, stated):
    for cell in grids[name].cells:
        features, sizes = memory(cell, widest)
        sizes = dict(zip(("rows", "grams", "axes", "at_once"), sizes, strict=True))
        assert stated.format(features=features, **sizes) in comment(name)


def test_the_index_holds_every_run_of_the_files_and_none_twice(grids):
    def runs(name):
        return [(cell.path, run.name, run.entry) for cell in grids[name].cells for run in cell.runs]

    assert sorted(runs("all")) == sorted(run for name in GRIDS for run in runs(name))
    assert len(set(runs("all"))) == len(runs("all")) == 21
    kept = {cell.path: len(cell.saved_epochs) * len(cell.runs) for cell in grids["all"].cells}
    total = sum(size(cell) * kept[cell.path] for cell in grids["all"].cells)
    assert f"21 runs with up to {sum(kept.values()):,} checkpoints ({total / 1e9:.0f} GB)" in comment("all")


def test_no_run_is_also_one_of_the_other_published_grids(grids):
    """So that both can be kept in one folder of results."""
    folder = ROOT / "config" / "ketha2026"
    others = [yaml.safe_load(path.read_text()) for path in folder.glob("*.yaml") if path.stem != "all"]
    theirs = {cell.path for config in others for cell in grid.load(config).cells}
    assert theirs.isdisjoint(cell.path for cell in grids["all"].cells)
