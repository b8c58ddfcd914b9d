"""Expansion of configurations, and refusal of those that cannot run."""

import copy
import itertools
import math

import pytest
import yaml

from latentgen import grid
from latentgen.grid import spans
from latentgen.grid.asked import asked
from latentgen.probes import kinds
from repository import ROOT

GOOD = {
    "defaults": {
        "dataset": "digits",
        "levels": [0.0, 0.6],
        "saved_epochs": [0, 1, "4-8:2"],
        "training": {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 32, "epochs": 10},
        "probes": {"masc": {"kind": "masc"}, "velpic": {"kind": "velpic"}},
    },
    "grid": [{"model": ["mlp_small", "cnn_small"]}],
}


def changed(path, value):
    """GOOD with ``value`` at the dotted ``path``; numbers index lists, None deletes."""
    config = copy.deepcopy(GOOD)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = config
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return config


def load(config):
    return grid.load(config)


def test_lists_multiply_and_defaults_fill_in():
    cells = load(GOOD).cells
    assert [(cell.model, cell.level) for cell in cells] == [
        ("mlp_small", 0.0),
        ("mlp_small", 0.6),
        ("cnn_small", 0.0),
        ("cnn_small", 0.6),
    ]
    cell = cells[1]
    assert cell.path == "results/runs/digits/mlp_small/uniform-0.6/data0-model0"
    assert cell.saved_epochs == [0, 1, 4, 6, 8]
    assert cell.settings["training"] == {
        "momentum": 0.0,
        "shuffle": True,
        "stop_accuracy": None,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "batch_size": 32,
        "epochs": 10,
    }


def test_entries_override_key_by_key():
    config = changed("grid.0.training", {"epochs": 20, "stop_accuracy": 0.99})
    config["grid"][0]["probes"] = {"velpic": None, "logistic": {"kind": "logistic"}}
    cell = load(config).cells[0]
    assert cell.settings["training"]["epochs"] == 20 and cell.settings["training"]["batch_size"] == 32
    assert set(cell.settings["probes"]) == {"masc", "logistic"}
    assert set(cell.families) == {"moments", "logistic"}


def test_a_range_of_seeds_is_one_cell_of_many_runs():
    config = changed("defaults.data_seeds", ["0-2", 7])
    config["defaults"] |= {"model_seeds": ["0-1"], "validation": 0.1}
    cells = [cell for cell in load(config).cells if cell.model == "mlp_small" and cell.level == 0.6]
    assert [cell.seeds for cell in cells] == ["data0-2-model0-1", "data7-model0-1"]
    assert [run.name for run in cells[0].runs] == [f"data{d}-model{m}" for d in range(3) for m in range(2)]
    found, run = load(config).cell_of_run("digits", "mlp_small", "uniform", "0.6", "data1-model1")
    assert found.path == cells[0].path and (run.data_seed, run.model_seed) == (1, 1)


def test_the_cell_of_a_run_is_the_one_that_a_search_through_all_runs_finds():
    config = changed("defaults.data_seeds", ["0-2", 7])
    config["defaults"] |= {"model_seeds": ["0-1", 5], "validation": 0.1}
    config["grid"].append({"model": "mlp", "levels": [1e-05, 1], "model_seeds": "paired"})
    loaded = load(config)
    searched = [(cell, run) for cell in loaded.cells for run in cell.runs]
    assert len(searched) == len({run for _, run in searched}) == 2 * 2 * 4 * 3 + 2 * 4
    for cell, run in searched:
        dataset, model, point, _ = cell.path.removeprefix("results/runs/").split("/")
        noise, level = point.split("-", 1)
        found, same = loaded.cell_of_run(dataset, model, noise, level, run.name)
        assert found is cell and same == run
    with pytest.raises(KeyError, match="no run data3-model0 for digits/mlp/uniform-1.0"):
        loaded.cell_of_run("digits", "mlp", "uniform", "1.0", "data3-model0")


def test_probes_are_filled_in_with_how_they_are_used():
    config = changed("defaults.probes.masc", {"kind": "masc", "fit_labels": True, "score": ["train"], "family": "own"})
    cell = load(config).cells[0]
    plain = {"family": "moments", "fit_labels": "given", "score": ["test"], "batch_norm": "running"}
    assert cell.settings["probes"]["velpic"] == {"kind": "velpic", "max_features": None, **plain}
    masc = cell.settings["probes"]["masc"]
    assert (masc["fit_labels"], masc["score"]) == ("true", ["train"])  # YAML reads an unquoted true as a truth value
    assert set(cell.families) == {"own", "moments"} and "family" not in cell.families["own"]["masc"]


def test_labels_drawn_anew_are_a_noise_kind_and_a_level():
    assert kinds.redrawn("given") is kinds.redrawn("true") is None
    assert kinds.redrawn("exclude_true-0.25") == ("exclude_true", 0.25)
    assert kinds.redrawn("ketha2026-1") == ("ketha2026", 1.0)


def test_interventions_are_filled_in_and_dropped_by_name():
    config = changed("defaults.interventions", {"transfer": {}, "edit": {"epochs": [0, 4], "until": 20}, "relabel": {}})
    config["grid"].append({"model": "mlp", "interventions": {"edit": None, "transfer": {"layers": "all"}}})
    first, *_, last = load(config).cells
    assert first.settings["interventions"] == {
        "transfer": {"layers": "last"},
        "edit": {"epochs": [0, 4], "until": 20, "layers": ["last"], "bias": ["zero"]},
        "relabel": {"probe": "masc", "layer": "last"},
    }
    assert last.settings["interventions"] == {
        "transfer": {"layers": "all"},
        "relabel": {"probe": "masc", "layer": "last"},
    }


def test_geometry_is_filled_in_merged_and_dropped():
    config = changed("defaults.geometry", {"points": 20, "simulated": {"layers": ["fc1", "output"]}})
    config["grid"].append({"model": "mlp", "geometry": {"points": 30, "simulated": None}})
    config["grid"].append({"model": "mlp_small", "levels": [0.9], "geometry": None})
    first, *_, last_but_one, last = load(config).cells
    filled = {"points": 20, "directions": 300, "kappa": 0.0, "restarts": 10, "features": 5000, "layers": "all"}
    simulated = {"epochs": ["last"], "layers": ["fc1", "output"], "dichotomies": 100}
    assert first.settings["geometry"] == filled | {"simulated": simulated}
    assert last_but_one.settings["geometry"] == filled | {"points": 30, "simulated": None}
    assert last.settings["geometry"] is None
    assert load(changed("grid.0.model", "mlp")).cells[0].settings["geometry"] is None


def test_rewinding_gradients_and_maps_are_filled_in_and_merged():
    config = changed("defaults.embeddings", {"examples": 200, "methods": ["pca"]})
    config["defaults"] |= {"gradients": True, "interventions": {"rewind": {"rerandomisations": 0}}}
    config["grid"].append({"model": "mlp", "embeddings": {"layers": ["last"]}, "gradients": False})
    config["grid"].append({"model": "mlp_small", "levels": [0.9], "embeddings": None})
    first, *_, last_but_one, last = load(config).cells
    assert first.settings["embeddings"] == {"examples": 200, "methods": ["pca"], "layers": ["output"]}
    assert last_but_one.settings["embeddings"] == {"examples": 200, "methods": ["pca"], "layers": ["last"]}
    assert last.settings["embeddings"] is None
    assert (first.settings["gradients"], last_but_one.settings["gradients"]) == (True, False)
    rewind = {"batch_norm": ["reestimated"], "rerandomisations": 0, "examples": None}
    assert first.settings["interventions"] == {"rewind": rewind}
    plain = load(changed("grid.0.model", "mlp")).cells[0].settings
    assert plain["embeddings"] is None and plain["gradients"] is False


def test_a_probe_name_means_one_probe_in_all_entries():
    """On which layers it is fitted, where it is scored, and which job fits it, may differ."""
    config = changed("grid.0.model", "mlp_small")
    same = {"kind": "masc", "score": ["test", "train"], "family": "own", "max_features": 512}
    config["grid"].append({"model": "cnn_small", "probes": {"masc": same}})
    loaded = load(config)
    assert loaded.probes["masc"]["variance"] == 0.99
    widest = {cell.model: cell.settings["probes"]["masc"]["max_features"] for cell in loaded.cells}
    assert widest == {"mlp_small": None, "cnn_small": 512}
    for key, value in (("variance", 0.5), ("fit_labels", "true"), ("batch_norm", "example")):
        config["grid"][1]["probes"] = {"masc": {"kind": "masc", key: value}}
        with pytest.raises(grid.ConfigError, match="probes.masc: two entries mean different probes by this name"):
            load(config)


def test_a_folder_of_images_is_a_data_set(tmp_path):
    for part, name in itertools.product(("train", "test"), ("ash", "oak")):
        (tmp_path / part / name).mkdir(parents=True)
        (tmp_path / part / name / "0.png").touch()
    config = changed("datasets", {"leaves": {"folder": str(tmp_path), "size": 32}})
    config["defaults"]["dataset"] = "leaves"
    cell = load(config).cells[0]
    assert cell.declared_dataset == {"folder": str(tmp_path), "size": 32}
    config["datasets"]["leaves"]["size"] = 64
    assert load(config).cells[0].entry != cell.entry
    (tmp_path / "test" / "oak" / "0.png").unlink()
    with pytest.raises(grid.ConfigError, match=r"datasets\.leaves\.folder: .*test: 1 of 2 classes have no images"):
        load(config)


def test_models_with_and_without_dropout_stand_side_by_side():
    config = changed("models", {"dropped": {"factory": "mlp", "options": {"dropout": 0.2}}})
    config["grid"][0]["model"] = ["mlp", "dropped"]
    loaded = load(config)
    assert loaded.models == {
        "mlp": {"factory": "mlp", "options": {}},
        "dropped": {"factory": "mlp", "options": {"dropout": 0.2}},
    }
    assert len({cell.entry for cell in loaded.cells}) == 4


def test_paired_seeds_vary_together():
    config = changed("defaults.data_seeds", ["0-2", 7])
    config["defaults"]["model_seeds"] = "paired"
    cells = [cell for cell in load(config).cells if cell.model == "mlp_small" and cell.level == 0.6]
    assert [cell.seeds for cell in cells] == ["data0-2-paired", "data7-model7"]
    runs = [run.name for cell in cells for run in cell.runs]
    assert runs == ["data0-model0", "data1-model1", "data2-model2", "data7-model7"]
    config["defaults"]["model_seeds"] = "pared"
    with pytest.raises(grid.ConfigError, match="model_seeds: 'pared' is not allowed.*paired"):
        load(config)


def test_exclusions_remove_points():
    cells = load(changed("exclude", [{"model": "cnn_small", "level": 0.6}])).cells
    assert ("cnn_small", 0.6) not in [(cell.model, cell.level) for cell in cells] and len(cells) == 3


def test_blocks_are_fixed_ranges():
    config = changed("defaults.epochs_per_job", 4)
    assert load(config).cells[0].blocks == ["0000-0003", "0004-0007", "0008-0011"]
    config["defaults"]["saved_epochs"] = [0]
    assert load(config).cells[0].blocks == ["0000-0003", "0008-0011"]  # the last epoch is always kept
    config["defaults"]["training"]["stop_accuracy"] = 0.5
    assert load(config).cells[0].blocks == ["0000-0003", "0004-0007", "0008-0011"]


def test_entry_hash_sees_what_weights_depend_on_and_nothing_else():
    def entry(config):
        return load(config).cells[0].entry

    same = [
        changed("defaults.saved_epochs", [0, 3]),
        changed("defaults.probes", {"masc": {"kind": "masc", "variance": 0.5}}),
        changed("defaults.levels", [0.0, 0.2]),
        changed("defaults.model_seeds", [0, 1]),
        changed("defaults.interventions", {"transfer": {}}),
    ]
    other = [
        changed("defaults.training.learning_rate", 0.1),
        changed("defaults.levels", [0.1]),
        changed("defaults.validation", 0.1),
        changed("defaults.noise", "exclude_true"),
    ]
    assert all(entry(config) == entry(GOOD) for config in same)
    assert len({entry(config) for config in [GOOD, *other]}) == len(other) + 1


def test_entry_hash_sees_the_code_of_a_factory_outside_the_zoo(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    config = changed("models", {"own": {"factory": "own_factory:make", "options": {"width": 3}}})
    config["grid"][0]["model"] = "own"
    entries = set()
    for text in ("def make(in_shape, n_classes, width): ...", "def make(in_shape, n_classes, **options): 1"):
        (tmp_path / "own_factory.py").write_text(text)
        entries.add(load(config).cells[0].entry)
    assert len(entries) == 2


def test_names_of_layers_are_declared_but_no_part_of_what_weights_depend_on():
    config = changed("models", {"own": {"factory": "mlp"}})
    config["grid"][0]["model"] = "own"
    plain = load(config).cells[0]
    assert plain.declared_model == {"factory": "mlp", "options": {}}
    naming = {"probed": {"first": "relu1", "last": "relu4"}, "readout": "head"}
    config["models"]["own"] |= naming
    named = load(config).cells[0]
    assert named.declared_model == {"factory": "mlp", "options": {}, **naming} and named.entry == plain.entry


def test_what_is_asked_of_networks_is_gathered_by_model():
    config = changed("grid.0.geometry", {"layers": ["fc1"], "simulated": {"layers": ["fc2", "last"]}})
    config["grid"][0] |= {"model": "mlp_small", "levels": [0.0]}
    config["grid"][0]["interventions"] = {"edit": {"epochs": [1], "until": 8, "layers": ["fc3"]}, "relabel": {}}
    config["grid"].append({**copy.deepcopy(config["grid"][0]), "levels": [0.3], "validation": 0.1})
    config["grid"][1]["geometry"] = None
    config["grid"][1]["embeddings"] = {"layers": ["output", "fc1"]}
    (model, wanted), *others = asked(load(config).cells, "digits").items()
    assert not others and model == "mlp_small" and wanted["model"]["factory"] == "mlp_small"
    assert wanted["layers"] == {
        "interventions.edit.layers": ["fc3"],
        "interventions.relabel.layer": ["last"],
        "geometry.layers": ["fc1"],
        "geometry.simulated.layers": ["fc2", "last"],
        "embeddings.layers": ["output", "fc1"],
    }
    assert wanted["readout"] == ["interventions.edit"] and wanted["batches"] == [[32, 0.0], [32, 0.1]]
    assert asked(load(config).cells, "mnist") == {}


def test_spans():
    assert list(spans.seeds("3-5")) == [3, 4, 5] and list(spans.seeds(4)) == [4]
    assert spans.epochs([0, "4-10:3", 4, "20-21"]) == [0, 4, 7, 10, 20, 21]
    with pytest.raises(ValueError, match="backwards"):
        spans.seeds("5-3")


#: Relabelling by a probe that has seen the true labels.
TRUE_RELABEL = {
    "probes": {"clean": {"kind": "masc", "fit_labels": "true"}},
    "interventions": {"relabel": {"probe": "clean"}},
}

#: A change of GOOD, and what the refusal must name: the key, the value, what is allowed.
REFUSALS = [
    ("defaults.dataset", "digit", ["grid[0].dataset", "'digit'", "did you mean 'digits'", "mnist"]),
    ("defaults.dataset", "cifar-100", ["grid[0].dataset", "'cifar-100'", "did you mean 'cifar100'", "tiny-imagenet"]),
    ("grid.0.model", ["mlp_small", "cnm"], ["grid[0].model", "'cnm'", "allowed: mlp, mlp_small, cnn, cnn_small"]),
    ("defaults.noise", "unifrom", ["grid[0].noise", "'unifrom'", "uniform, exclude_true, ketha2026"]),
    ("defaults.noise", "published", ["grid[0].noise", "'published'", "it is called ketha2026 now"]),
    ("defaults.block", 4, ["defaults.block", "it is called epochs_per_job now"]),
    ("grid.0.maps", {}, ["grid[0].maps", "it is called embeddings now"]),
    ("grid.0.interventions", {"rewind": {"redraws": 1}}, ["rewind.redraws", "it is called rerandomisations now"]),
    ("defaults.levels", [0.2, 1.2], ["grid[0].levels", "1.2", "0 to 1"]),
    ("defaults.levels", [-0.2], ["grid[0].levels", "-0.2", "0 to 1"]),
    ("defaults.saved_epochs", [0, 11], ["grid[0].saved_epochs", "11", "0 to 10"]),
    ("defaults.saved_epochs", ["8-4"], ["grid[0].saved_epochs", "'8-4'"]),
    ("defaults.levles", [0.1], ["defaults.levles", "unknown key", "did you mean 'levels'"]),
    ("grid.0.training", {"batchsize": 3}, ["grid[0].training.batchsize", "did you mean 'batch_size'"]),
    ("thread", 2, ["thread: unknown key", "did you mean 'threads'"]),
    ("threads", 0, ["threads", "0 is less than"]),
    ("device", "gpu", ["device", "'gpu'", "auto", "cpu", "cuda"]),
    ("activations", "keep", ["activations", "'keep'", "stream", "dump"]),
    ("defaults.validation", 1.0, ["defaults.validation", "1.0"]),
    ("defaults.training.epochs", 0, ["defaults.training.epochs", "0"]),
    ("defaults.training.learning_rate", math.inf, ["defaults.training.learning_rate: inf", "finite"]),
    ("defaults.levels", [0.2, math.nan], ["defaults.levels[1]: nan", "finite"]),
    (
        "defaults.probes.lr",
        {"kind": "logistic", "learning_rate": -math.inf},
        ["probes.lr.learning_rate: -inf", "finite"],
    ),
    ("models", {"wide": {"factory": "mlp", "options": {"dropout": math.nan}}}, ["models.wide.options.dropout: nan"]),
    ("defaults.training.learning_rate", "fast", ["defaults.training.learning_rate", "'fast'", "number"]),
    ("defaults.training.optimizer", "sdg", ["defaults.training.optimizer", "'sdg'", "sgd"]),
    ("defaults.training.momentum", 0.9, ["training.momentum", "0.9", "adam"]),
    ("defaults.training.epochs", None, ["grid[0]", "training.epochs"]),
    ("defaults.probes.masc.kind", "mask", ["probes.masc.kind", "'mask'", "did you mean 'masc'", "velpic", "logistic"]),
    ("defaults.probes.masc.variance", 1.5, ["probes.masc.variance", "1.5", "up to 1"]),
    ("defaults.probes.masc.n_axes", 0, ["probes.masc.n_axes", "0", "1 and more"]),
    ("defaults.probes.masc.varience", 0.5, ["probes.masc.varience", "did you mean 'variance'"]),
    ("defaults.probes.lr", {"kind": "logistic", "solver": "lbfgs"}, ["probes.lr.solver", "lbfgs", "l2", "tol"]),
    ("defaults.probes.lr", {"kind": "logistic", "l2": 0.1}, ["probes.lr.solver", "adam", "lbfgs"]),
    ("defaults.probes", {"masc": None, "velpic": None}, ["probes", "no probe"]),
    ("defaults.probes.masc.fit_labels", "gven", [".fit_labels: 'gven'", "given, true, or KIND-LEVEL", "uniform"]),
    ("defaults.probes.masc.fit_labels", "unifrom-0.6", [".fit_labels: 'unifrom-0.6'", "uniform, exclude_true"]),
    ("defaults.probes.masc.fit_labels", "uniform-1.6", [".fit_labels: 'uniform-1.6'", "KIND-LEVEL"]),
    ("defaults.probes.masc.fit_labels", "uniform-high", [".fit_labels: 'uniform-high'", "KIND-LEVEL"]),
    ("defaults.probes.masc.score", ["tests"], ["probes.masc.score: ['tests']", "test, train"]),
    ("defaults.probes.masc.score", "test", ["probes.masc.score: 'test'", "no list", "test, train"]),
    ("defaults.probes.masc.score", [], ["probes.masc.score: []", "test, train"]),
    ("defaults.probes.velpic.batch_norm", "runing", [".batch_norm: 'runing'", "did you mean 'running'", "example"]),
    ("defaults.probes.knn", {"kind": "knn", "n_neighbors": 0}, ["probes.knn.n_neighbors: 0", "from 1"]),
    ("defaults.probes.knn", {"kind": "knn", "neighbors": 3}, ["probes.knn.neighbors", "did you mean 'n_neighbors'"]),
    ("defaults.probes.lda", {"kind": "lda", "shrinkage": 0}, ["probes.lda.shrinkage: 0", "above 0, up to 1"]),
    ("defaults.probes.qda", {"kind": "qda", "max_features": 0.5}, ["probes.qda.max_features: 0.5", "from 1"]),
    (
        "grid.0.interventions",
        {"transfr": {}},
        ["interventions.transfr: unknown key", "did you mean 'transfer'", "edit"],
    ),
    ("grid.0.interventions", {"transfer": {"layers": "first"}}, ["interventions.transfer", "'first'", "last", "all"]),
    ("grid.0.interventions", {"transfer": {"layer": "all"}}, ["transfer.layer: unknown key", "mean 'layers'"]),
    ("grid.0.interventions", {"edit": {"until": 8}}, ["interventions.edit", "needs epochs"]),
    ("grid.0.interventions", {"edit": {"epochs": [4]}}, ["interventions.edit", "needs until"]),
    ("grid.0.interventions", {"edit": {"epochs": [5], "until": 8}}, [".edit.epochs: 5", "saved_epochs"]),
    ("grid.0.interventions", {"edit": {"epochs": [1, 8], "until": 8}}, [".edit.until: 8", "after epoch 8", "above"]),
    ("grid.0.interventions", {"edit": {"epochs": [1], "until": 8, "bias": ["keep"]}}, ["'keep'", "kept", "zero"]),
    (
        "grid.0.interventions",
        {"relabel": {"probe": "mask"}},
        [".relabel.probe: 'mask'", "did you mean 'masc'", "velpic"],
    ),
    ("grid.0", {"model": "mlp_small", **TRUE_RELABEL}, [".relabel.probe: 'clean'", "given labels", "masc, velpic"]),
    ("grid.0.geometry", {"point": 9}, ["geometry.point: unknown key", "did you mean 'points'"]),
    ("grid.0.geometry", {"points": 1}, ["geometry.points", "1 is less than the minimum of 2"]),
    ("grid.0.geometry", {"kappa": float("inf")}, [".geometry.kappa: inf", "finite"]),
    ("grid.0.geometry", {"kappa": -1}, ["geometry.kappa", "-1"]),
    ("grid.0.geometry", {"simulated": {"epochs": ["best"]}}, ["simulated.epochs[0]", "'best'", "'last'"]),
    ("grid.0.geometry", {"simulated": {"epochs": [3]}}, [".geometry.simulated.epochs: 3", "saved_epochs", "'last'"]),
    ("grid.0.geometry", {"layers": "first"}, ["geometry.layers", "'first'"]),
    ("grid.0.embeddings", {"examples": 30}, [".embeddings.examples: 30", "31 to 10000"]),
    ("grid.0.embeddings", {"methods": ["isomap"]}, ["embeddings.methods[0]", "'isomap'", "'umap'"]),
    ("grid.0.gradients", {}, ["gradients", "'boolean'"]),
    ("grid.0.interventions", {"rewind": {"rerandomisations": -1}}, ["interventions.rewind.rerandomisations", "-1"]),
    ("grid.0.interventions", {"rewind": {"batch_norm": ["kept"]}}, ["rewind.batch_norm[0]", "'kept'", "'rewound'"]),
    ("grid.0.geometry", {"simulated": {"layers": "first"}}, ["simulated.layers", "'first'"]),
    ("defaults.data_seeds", ["4-2"], ["data_seeds", "'4-2'"]),
    ("defaults.data_seeds", [0, "0-3"], ["declared twice", "data0-model0", "uniform-0.0"]),
    ("defaults.data_seeds", ["a"], ["defaults.data_seeds[0]", "'a'"]),
    ("grid", [{"model": "mlp_small"}, {"model": "mlp_small"}], ["declared twice", "mlp_small"]),
    ("grid", [], ["grid"]),
    ("exclude", [{"model": "alexnet"}], ["exclude[0]", "alexnet", "matches no point"]),
    ("exclude", [{"dataset": "digits"}], ["nothing of the grid is left"]),
    ("datasets", {"digits": {"npz": "x.npz"}}, ["datasets.digits", "built-in"]),
    ("datasets", {"own": {"npz": "no/such.npz"}}, ["datasets.own.npz", "'no/such.npz'"]),
    ("datasets", {"own": {"npz": str(ROOT / "README.md"), "size": 32}}, ["datasets.own.size", "no meaning", ".npz"]),
    ("datasets", {"own": {"folder": "no/such"}}, ["datasets.own.folder", "'no/such'", "train/ and test/ or val/"]),
    ("datasets", {"own": {"folder": str(ROOT / "README.md")}}, ["datasets.own.folder", "cannot be read"]),
    ("datasets", {"own": {"folder": ".", "size": 0}}, ["datasets.own.size", "0 is less than"]),
    (
        "datasets",
        {"own": {"folder": ".", "npz": str(ROOT / "README.md")}},
        ["datasets.own: needs either npz", "or folder"],
    ),
    ("datasets", {"own": {"size": 32}}, ["datasets.own: needs either npz", "or folder"]),
    ("models", {"own": {"factory": "mlpp"}}, ["models.own.factory", "'mlpp'", "did you mean 'mlp'"]),
    ("models", {"own": {"factory": "no_such_module:make"}}, ["models.own.factory", "no_such_module"]),
    ("models", {"own": {"factory": "latentgen.models.mlp:nope"}}, ["models.own.factory", "'nope'", "mlp, mlp_small"]),
    ("models", {"own": {"factory": "mlp", "options": {"width": 3}}}, ["options.width", "did you mean 'widths'"]),
    ("defaults.probes.lr", {"kind": "logistic", "random_state": "x"}, ["probes.lr.random_state", "'x'"]),
    ("models", {"own": {"factory": "cnn", "options": {"dropot": 0.2}}}, ["options.dropot", "did you mean 'dropout'"]),
    ("models", {"mlp": {"factory": "cnn"}}, ["models.mlp", "zoo"]),
    ("models", {"own": {"factory": "cnn", "probed": {}}}, ["models.own.probed"]),
    ("models", {"own": {"factory": "cnn", "probed": ["fc1"]}}, ["models.own.probed", "object"]),
    ("models", {"own": {"factory": "cnn", "probed": {"a/b": "fc1"}}}, ["models.own.probed", "a/b"]),
    ("models", {"own": {"factory": "cnn", "probed": {"fc": 1}}}, ["models.own.probed.fc", "string"]),
    ("models", {"own": {"factory": "cnn", "readout": 3}}, ["models.own.readout", "string"]),
    ("models", {"a/b": {"factory": "cnn"}}, ["models", "a/b"]),
]


def test_dumps_do_not_serve_probes_that_read_each_example_s_own_statistics():
    config = changed("defaults.probes.velpic.batch_norm", "example") | {"activations": "dump"}
    with pytest.raises(grid.ConfigError, match="velpic.batch_norm: 'example' is not what dumps hold"):
        load(config)


@pytest.mark.parametrize(("path", "value", "words"), REFUSALS, ids=[f"{path}={value}" for path, value, _ in REFUSALS])
def test_refusals_name_key_value_and_what_is_allowed(path, value, words):
    with pytest.raises(grid.ConfigError) as error:
        load(changed(path, value))
    for word in words:
        assert word in str(error.value)


def test_all_errors_are_listed_at_once():
    config = changed("defaults.levels", [2.0])
    config["defaults"]["dataset"] = "digit"
    with pytest.raises(grid.ConfigError) as error:
        load(config)
    assert "'digit'" in str(error.value) and "2.0" in str(error.value)


def test_unreadable_data_root(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(grid.ConfigError, match="data_root: .*cannot be read"):
        load(changed("data_root", str(tmp_path / "file")))
    load(changed("data_root", str(tmp_path / "new" / "folder")))


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "config").rglob("*.yaml"))], ids=lambda p: p.name
)
def test_every_shipped_grid_is_accepted(path, monkeypatch, tmp_path):
    (tmp_path / "config").symlink_to(ROOT / "config")  # an index names its files as seen from where Snakemake is called
    monkeypatch.chdir(tmp_path)
    assert load(yaml.safe_load(path.read_text())).cells


def test_probe_settings_are_the_estimators_own():
    from latentgen.probes.evaluate import ESTIMATORS, make

    assert set(ESTIMATORS) == set(kinds.KINDS)
    for kind, (_, defaults) in kinds.KINDS.items():
        # How wide a layer may be is asked before an estimator is made.
        own = {key: value for key, value in defaults.items() if key != "max_features"}
        assert make({"kind": kind}).get_params() == own


def test_checking_imports_nothing_that_computes():
    import subprocess
    import sys

    heavy = "{'torch', 'sklearn', 'pandas', 'torchvision', 'matplotlib'}"
    code = f"import sys, latentgen.grid, latentgen.figures; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
