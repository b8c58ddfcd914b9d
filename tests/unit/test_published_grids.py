"""The grids of the published models and data sets against what was published, written out here a second time."""

import pytest
import yaml

from latentgen import grid
from latentgen.figures import catalogue
from latentgen.numbers import models
from latentgen.probes import compared
from repository import ROOT

FOLDER = ROOT / "config" / "ketha2026"

SGD = {"optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "batch_size": 32, "stop_accuracy": 1.0}
SIX = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def adam(learning_rate, batch_size, stop_accuracy):
    recipe = {"learning_rate": learning_rate, "batch_size": batch_size, "stop_accuracy": stop_accuracy}
    return {"optimizer": "adam", "momentum": 0.0, **recipe}


#: File → data set, factory, dropout, recipe, levels: Ketha & Ramaswamy (TMLR 2026, arXiv 2603.19865) and their code.
PUBLISHED = [
    ("mlp-mnist", "mnist", "mlp", 0.0, SGD, SIX),
    ("mlp-cifar10", "cifar10", "mlp", 0.0, SGD, SIX),
    ("cnn-mnist", "mnist", "cnn", 0.0, adam(2e-4, 128, 0.999), SIX),
    ("cnn-fashion-mnist", "fashion-mnist", "cnn", 0.0, adam(2e-4, 128, 0.991), SIX),
    ("cnn-cifar10", "cifar10", "cnn", 0.0, adam(2e-4, 32, 1.0), SIX),
    ("resnet18-cifar10", "cifar10", "resnet18", 0.0, SGD, SIX[:5]),
    ("alexnet-cifar100", "cifar100", "alexnet", 0.0, adam(1e-4, 128, 0.991), SIX),
    ("alexnet-tiny-imagenet", "tiny-imagenet", "alexnet", 0.0, adam(1e-4, 500, 0.999), SIX),
    ("cnn-dropout", "mnist", "cnn", 0.2, adam(2e-4, 128, 0.999), SIX),
    ("cnn-dropout", "fashion-mnist", "cnn", 0.2, adam(2e-4, 128, 0.991), SIX),
    ("cnn-dropout", "cifar10", "cnn", 0.2, adam(2e-4, 32, 1.0), SIX),
    ("alexnet-dropout", "cifar100", "alexnet", 0.5, adam(1e-4, 128, 0.991), SIX),
]
FILES = sorted({name for name, *_ in PUBLISHED})
FULL = [name for name in FILES if not name.endswith("-dropout")]

EARLY = [0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
FIVES = [*EARLY, *range(25, 501, 5)]
TENS = [*EARLY, *range(30, 501, 10)]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Every file of the folder as a `latentgen.grid.Grid`, loaded where a user calls Snakemake."""
    where = tmp_path_factory.mktemp("published")
    (where / "config").symlink_to(ROOT / "config")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        return {path.stem: grid.load(yaml.safe_load(path.read_text())) for path in FOLDER.glob("*.yaml")}


def cells_of(loaded, dataset):
    return [cell for cell in loaded.cells if cell.dataset == dataset]


def test_the_folder_holds_these_files_and_their_index(published):
    assert sorted(published) == sorted([*FILES, "all"])


@pytest.mark.parametrize(
    ("name", "dataset", "factory", "dropout", "recipe", "levels"),
    PUBLISHED,
    ids=[f"{name}: {dataset}" for name, dataset, *_ in PUBLISHED],
)
def test_recipe_levels_labels_and_epochs_are_the_published_ones(
    published, name, dataset, factory, dropout, recipe, levels
):
    cells = cells_of(published[name], dataset)
    assert sorted({cell.level for cell in cells}) == levels
    expected = FIVES if dataset != "tiny-imagenet" else TENS
    for cell in cells:
        assert cell.declared_model["factory"] == factory
        assert cell.declared_model["options"] == ({"dropout": dropout} if dropout else {})
        assert cell.settings["training"] == {**recipe, "epochs": 500, "shuffle": False}
        assert cell.saved_epochs == expected
        assert cell.noise == "ketha2026" and cell.settings["validation"] == 0
    runs = sorted((run.level, run.data_seed, run.model_seed) for cell in cells for run in cell.runs)
    assert runs == [(level, 42, seed) for level in levels for seed in (0, 1, 2)]


@pytest.mark.parametrize("name", FILES)
def test_the_core_probes_are_the_published_ones(published, name):
    """What a probe has beside these is where it is scored and which job fits it."""
    logistic = {"solver": "adam", "learning_rate": 1e-3, "epochs": 20, "batch_size": 128, "l2": 0.0}
    for cell in published[name].cells:
        probes = cell.settings["probes"]
        for probe, wanted in (
            ("masc", {"kind": "masc", "variance": 0.99, "n_axes": None}),
            ("velpic", {"kind": "velpic"}),
            ("logistic", {"kind": "logistic", **logistic}),
        ):
            plain = {**wanted, "fit_labels": "given", "batch_norm": "running"}
            assert plain.items() <= probes[probe].items()
            assert "test" in probes[probe]["score"]


@pytest.mark.parametrize("name", FULL)
def test_the_other_probes_of_the_paper_are_there(published, name):
    for cell in published[name].cells:
        probes = cell.settings["probes"]
        thresholds = [(probes[probe]["n_axes"], probes[probe]["variance"]) for probe in compared.thresholds(probes)]
        assert [variance for axes, variance in thresholds if axes is None] == [0.25, 0.5, 0.75, 0.99]
        assert [axes for axes, _ in thresholds if axes is not None] == [1]
        baselines = {probe["kind"]: probe for probe in probes.values() if probe["fit_labels"] == "given"}
        assert {"nearest_mean", "lda", "qda", "knn"} <= set(baselines)
        assert baselines["knn"]["n_neighbors"] == 5 and baselines["qda"]["max_features"] == 512
        assert [probe["kind"] for probe in probes.values() if probe["fit_labels"] == "true"] == ["masc"]
        assert probes["masc"]["score"] == ["test", "train"]
        assert {"logistic", "knn", "masc-true"}.isdisjoint(cell.families["moments"]), (
            "expensive probes have jobs of their own"
        )


@pytest.mark.parametrize("name", FULL)
def test_subspaces_of_wrong_labels_are_fitted_in_clean_networks_alone(published, name):
    for cell in published[name].cells:
        redrawn = [
            p["fit_labels"] for p in cell.settings["probes"].values() if p["fit_labels"] not in ("given", "true")
        ]
        assert redrawn == (["ketha2026-0.6"] if cell.level == 0 and cell.model != "resnet18" else [])


def test_only_the_network_with_batch_norm_is_read_in_both_modes(published):
    for name in FILES:
        pairs = {pair for cell in published[name].cells for pair in compared.mode_pairs(cell.settings["probes"])}
        expected = {("masc", "masc-example"), ("velpic", "velpic-example")} if name == "resnet18-cifar10" else set()
        assert pairs == expected


@pytest.mark.parametrize("name", FILES)
def test_interventions(published, name):
    """Edits are published for every full grid but two; at level 1 there is nothing to bring back."""
    for cell in published[name].cells:
        found = cell.settings["interventions"]
        if name not in FULL:
            assert found == {}
            continue
        assert found["transfer"] == {"layers": "all" if cell.model in ("mlp", "cnn") else "last"}
        if cell.level == 1 or cell.model == "resnet18":
            assert set(found) == {"transfer"}
            continue
        epochs = [40] if cell.dataset == "cifar100" else [1, 10, 40]
        assert found["edit"] == {"epochs": epochs, "until": 100, "layers": ["last"], "bias": ["zero"]}
        assert found["relabel"] == {"probe": "masc", "layer": "last"}


def test_the_index_holds_every_run_of_the_files_and_none_twice(published):
    def runs(name):
        return [(cell.path, run.name, run.entry) for cell in published[name].cells for run in cell.runs]

    assert sorted(runs("all")) == sorted(run for name in FILES for run in runs(name))
    assert len(set(runs("all"))) == len(runs("all"))


def test_the_index_has_as_many_runs_and_checkpoints_as_were_published(published):
    """Three runs of each point; no run can keep more checkpoints than the published epochs up to 500."""
    points = {file: 0 for file in FILES}
    for file, *_, levels in PUBLISHED:
        points[file] += len(levels)
    assert points["cnn-dropout"] == 18 and points["resnet18-cifar10"] == 5 and sum(points.values()) == 71
    cells = published["all"].cells
    assert sum(len(cell.runs) for cell in cells) == 3 * 71 == 213
    kept = [{*cell.saved_epochs, cell.settings["training"]["epochs"]} for cell in cells for _ in cell.runs]
    assert len(FIVES) == 108 and len(TENS) == 60
    assert sum(map(len, kept)) == (213 - 18) * 108 + 18 * 60 == 22140


def test_the_index_has_each_pair_with_and_without_dropout_once(published):
    index = published["all"]
    assert sorted(models.dropout_pairs(index.models)) == [("alexnet", "alexnet-dropout"), ("cnn", "cnn-dropout")]
    for without, dropped in models.dropout_pairs(index.models):
        points = {(cell.dataset, cell.level) for cell in index.cells if cell.model == dropped}
        assert points <= {(cell.dataset, cell.level) for cell in index.cells if cell.model == without}


def test_the_index_draws_every_figure_and_a_file_alone_those_it_has_the_probes_for(published):
    # Those of geometry, rewinding and gradients are of the other publication.
    assert catalogue.available(published["all"].cells) == [f"fig{number}" for number in (*range(1, 7), *range(9, 16))]
    alone = {name: set(catalogue.available(published[name].cells)) for name in FILES}
    assert all({"fig1", "fig2", "fig3", "fig4", "fig5"} <= figures for figures in alone.values())
    assert [name for name in FILES if "fig14" in alone[name]] == ["resnet18-cifar10"]
    assert not any("fig13" in figures for figures in alone.values())


@pytest.mark.parametrize("name", FILES)
def test_a_probe_job_has_at_most_28_checkpoints(published, name):
    """More would outlast the time that the rule of these jobs asks a cluster for."""
    for cell in published[name].cells:
        for block in cell.blocks:
            first, last = map(int, block.split("-"))
            assert len([epoch for epoch in cell.saved_epochs if first <= epoch <= last]) <= 28
        assert len(cell.blocks) <= 10
