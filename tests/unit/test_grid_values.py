"""Numbers, names and sizes of a configuration: taken as what they mean, or refused."""

import datetime
import time

import pytest
import yaml
from test_grid import changed

from latentgen import datasets, grid
from latentgen.grid import numbers

#: Keys of GOOD, a value as YAML 1.1 or ``--config`` give it, and the value that it means.
MEANT = [
    ("threads", 2.0, 2),
    ("threads", "2", 2),
    ("jobs_per_gpu", "1e2", 100),
    ("max_jobs", 1.0e6, 1_000_000),
    ("defaults.training.batch_size", 1.0e2, 100),
    ("defaults.training.batch_size", "1e2", 100),
    ("defaults.training.epochs", 20.0, 20),
    ("defaults.training.learning_rate", "1e-3", 0.001),
    ("defaults.training.learning_rate", "1E-3", 0.001),
    ("defaults.training.learning_rate", ".5", 0.5),
    ("defaults.training.learning_rate", 1, 1),
    ("defaults.training.stop_accuracy", "9e-1", 0.9),
    ("defaults.validation", "1e-1", 0.1),
    ("defaults.epochs_per_job", 100.0, 100),
    ("defaults.levels", ["2e-1", 0.6, 1], [0.2, 0.6, 1]),
    (
        "grid.0",
        {"model": "mlp_small", "model_seeds": "paired", "data_seeds": [1.0, "2", "1e1", "4-5"]},
        {"model": "mlp_small", "model_seeds": "paired", "data_seeds": [1, 2, 10, "4-5"]},
    ),
    ("defaults.model_seeds", [1.0, "4-5"], [1, "4-5"]),
    ("defaults.saved_epochs", [0.0, "1e1", "4-8:2"], [0, 10, "4-8:2"]),
    ("defaults.probes.masc.variance", "9e-1", 0.9),
    ("defaults.probes.masc.n_axes", 2.0, 2),
    ("defaults.probes.velpic.max_features", "1e3", 1000),
    (
        "grid.0.geometry",
        {"points": 8.0, "features": "1e3", "kappa": "1e-1"},
        {"points": 8, "features": 1000, "kappa": 0.1},
    ),
    ("grid.0.geometry", {"simulated": {"epochs": [4.0, "last"]}}, {"simulated": {"epochs": [4, "last"]}}),
    ("grid.0.embeddings", {"examples": "2e2", "layers": ["1e3"]}, {"examples": 200, "layers": ["1e3"]}),
    ("grid.0.interventions", {"edit": {"epochs": [4.0], "until": 2.0e1}}, {"edit": {"epochs": [4], "until": 20}}),
    (
        "grid.0.interventions",
        {"rewind": {"rerandomisations": 3.0, "examples": 1e2}},
        {"rewind": {"rerandomisations": 3, "examples": 100}},
    ),
    # Of a whole float that an option is given, nobody knows what its factory means by it.
    (
        "models",
        {"own": {"factory": "mlp", "options": {"dropout": 0.0}}},
        {"own": {"factory": "mlp", "options": {"dropout": 0.0}}},
    ),
    # Zero has one name.
    ("defaults.levels", [-0.0], [0.0]),
]


@pytest.mark.parametrize(("path", "value", "meant"), MEANT, ids=[f"{path}={value}" for path, value, _ in MEANT])
def test_numbers_are_taken_as_what_they_mean(path, value, meant):
    """As a configuration that writes them plainly, with the same hashes and folders."""
    mine, plain = (grid.load(changed(path, number)) for number in (value, meant))
    assert repr(mine.config) == repr(plain.config) or path == "defaults.levels"
    assert [repr(cell) for cell in mine.cells] == [repr(cell) for cell in plain.cells]
    assert [repr(cell.settings) for cell in mine.cells] == [repr(cell.settings) for cell in plain.cells]
    assert [cell.entry for cell in mine.cells] == [cell.entry for cell in plain.cells]
    assert "-0.0" not in " ".join(cell.path.replace("uniform-0.0", "") for cell in mine.cells)


def test_text_that_is_meant_stays_text():
    schema = {"properties": {"a": {"type": "string"}, "b": {"anyOf": [{"type": "integer"}, {"const": "5"}]}}}
    assert numbers.meant({"a": "1e3", "b": "5", "c": "7"}, schema) == {"a": "1e3", "b": "5", "c": "7"}
    assert numbers.meant({"b": "6"}, schema) == {"b": 6}
    assert numbers.number(True, whole=True) is True and numbers.number(1.5, whole=True) == 1.5


LONG = "n" * 300

#: A change of GOOD, and what the refusal must name: the key, the value, what is allowed.
REFUSALS = [
    # Whole numbers
    ("threads", 2.5, ["threads: 2.5 is not of type 'integer'"]),
    ("threads", True, ["threads: True is not of type 'integer'"]),
    ("threads", "010", ["threads: '010' is not of type 'integer'"]),
    ("threads", "0x10", ["threads: '0x10'"]),
    ("threads", "2\n", ["threads: '2\\n'"]),
    ("threads", "²", ["threads: '²'"]),
    ("threads", -1, ["threads: -1 is less than the minimum of 1"]),
    ("threads", 5000, ["threads: 5000 is greater than the maximum of 1024"]),
    ("threads", datetime.date(2026, 1, 2), ["threads", "date", "quotes"]),
    ("threads", 10**400, ["threads: a number of 1329 bits is too large"]),
    ("threads", "1e400", ["threads: inf is not of type 'integer'"]),
    ("defaults.validation", 10**400, ["defaults.validation", "too large"]),
    ("max_jobs", 0, ["max_jobs: 0 is less than"]),
    ("defaults.training.epochs", True, ["training.epochs: True is not of type 'integer'"]),
    ("defaults.training.epochs", "ten", ["training.epochs: 'ten' is not of type 'integer'"]),
    ("defaults.training.batch_size", "1e-3", ["training.batch_size: 0.001 is not of type 'integer'"]),
    ("defaults.data_seeds", [-1], ["data_seeds[0]: -1 is not allowed"]),
    ("defaults.data_seeds", ["0-4\n"], ["data_seeds[0]: '0-4\\n' is not allowed"]),
    ("defaults.data_seeds", ["0-99999999999"], ["data_seeds[0]: '0-99999999999'"]),
    ("defaults.data_seeds", [1.5], ["data_seeds[0]: 1.5"]),
    ("defaults.saved_epochs", ["0-4:2\n"], ["saved_epochs[0]: '0-4:2\\n'"]),
    ("defaults.saved_epochs", ["0-4:0"], ["saved_epochs[0]: '0-4:0'"]),
    ("defaults.saved_epochs", [True], ["saved_epochs[0]: True"]),
    ("defaults.probes.masc.n_axes", True, ["probes.masc.n_axes: True", "1 and more"]),
    ("defaults.probes.lr", {"kind": "logistic", "epochs": True}, ["probes.lr.epochs: True", "from 1 to 10,000,000"]),
    ("defaults.probes.lr", {"kind": "logistic", "epochs": 1e12}, ["probes.lr.epochs: 1000000000000"]),
    ("defaults.probes.lr", {"kind": "logistic", "random_state": True}, ["probes.lr.random_state: True", "from 0"]),
    ("defaults.probes.lr", {"kind": "logistic", "random_state": 2**32}, ["probes.lr.random_state", "below 2**32"]),
    ("defaults.probes.knn", {"kind": "knn", "n_neighbors": "five"}, ["probes.knn.n_neighbors: 'five'"]),
    ("defaults.probes.masc.fit_labels", "uniform-0.6\n", [".fit_labels: 'uniform-0.6\\n'", "KIND-LEVEL"]),
    ("defaults.probes.masc.fit_labels", "uniform-0_6", [".fit_labels: 'uniform-0_6'"]),
    ("defaults.probes.masc.fit_labels", "uniform-nan", [".fit_labels: 'uniform-nan'"]),
    (
        "models",
        {"own": {"factory": "mlp", "options": {"dropout": "1e-1"}}},
        ["models.own.options.dropout: '1e-1' is text in YAML", "1.0e-3"],
    ),
    (
        "models",
        {"own": {"factory": "mlp", "options": {"widths": [64, {"a": "1e2"}]}}},
        ["models.own.options.widths[1].a: '1e2'"],
    ),
    # Keys and names
    ("models", {True: {"factory": "cnn"}}, ["models.True: a key that YAML reads as true", "yes", "quotes"]),
    ("models", {None: {"factory": "cnn"}}, ["models.None: a key that YAML reads as no value", "quotes"]),
    ("models", {7: {"factory": "cnn"}, "a": {"factory": "cnn"}}, ["models.7: the key 7 is a int, not text; put it"]),
    ("models", {"own": {"factory": "mlp", "options": {1: 2, "a": 3}}}, ["models.own.options.1: the key 1 is a int"]),
    ("grid.0.model", [False], ["grid[0].model", "False is not of type 'string'"]),
    ("models", {"own\n": {"factory": "cnn"}}, ["models.'own\\n': a key that has characters which cannot be printed"]),
    ("datasets", {"..": {"npz": "x"}}, ["datasets", "'..' does not match"]),
    ("datasets", {"a b": {"npz": "x"}}, ["datasets", "'a b' does not match"]),
    ("datasets", {"caf\N{LATIN SMALL LETTER E WITH ACUTE}": {"npz": "x"}}, ["datasets", "does not match"]),
    ("datasets", {LONG: {"npz": "x"}}, ["datasets", "is too long"]),
    ("defaults.probes", {LONG: {"kind": "masc"}}, ["defaults.probes", "is too long"]),
    ("defaults.probes", {"p\n": {"kind": "masc"}}, ["defaults.probes.'p\\n': a key that has characters"]),
    ("defaults.probes.masc.family", "../up", ["defaults.probes.masc", "family: '../up' does not match"]),
    (
        "defaults.probes.masc.family",
        "Moments",
        ["probes: the families 'Moments' and 'moments' differ in upper and lower"],
    ),
    ("defaults.probes.masc.family", "own\n", ["defaults.probes.masc", "family: 'own\\n' does not match"]),
    ("grid.0.geometry", {"layers": ["fc1\n"]}, ["geometry.layers", "'fc1\\n' does not match"]),
    ("\ud800", 1, ["'\\ud800': a key that has characters"]),
    ("data_root", "", ["data_root: ''"]),
    ("data_root", "a\0b", ["data_root: 'a\\x00b' is no path: embedded null byte"]),
    ("data_root", "x" * 300, ["data_root: 'xxx", "is no path: File name too long"]),
    ("datasets", {"own": {"npz": "\ud800"}}, ["datasets.own.npz: '\\ud800' is no path"]),
    ("datasets", {"own": {"folder": "a\0b"}}, ["datasets.own.folder: 'a\\x00b' is no path"]),
    ("grids", ["a\0b"], ["grids: 'a\\x00b' cannot be read"]),
    ("defaults.data_seeds", ["00-04"], ["data_seeds[0]: '00-04' is not allowed"]),
    # Long lists of errors, or of several types
    ("grid.0.geometry", {"simulated": {"epochs": ["last", *range(20_000)]}}, ["simulated.epochs: 2 is no saved epoch"]),
    ("grid.0.interventions", {"edit": {"epochs": [4, 4], "until": 20}}, ["edit.epochs: [4, 4] has non-unique"]),
    ("defaults.data_seeds", ["a"] * 30_000, ["data_seeds[0]: 'a' is not allowed", "and more"]),
    ("defaults.levels", ["a"] * 30_000, ["levels[0]: 'a' is not of type 'number'", "and more"]),
    ("grid.0", {f"key{i}": 1 for i in range(30_000)}, ["grid[0].key0: unknown key", "and more"]),
    (
        "models",
        {f"m{i}": {"factory": "mlpp"} for i in range(20_000)},
        ["models.m0.factory: unknown 'mlpp'", "and more"],
    ),
    # Sizes
    ("defaults.training.epochs", 1e12, ["training.epochs: 1000000000000 is greater than the maximum of 10000000"]),
    ("defaults.training.epochs", 1_000_000_000, ["training.epochs: 1000000000 is greater"]),
    (
        "defaults.saved_epochs",
        ["0-1000000000"],
        ["saved_epochs: ['0-1000000000']", "4,000,000,012 checkpoints", "max_jobs"],
    ),
    ("defaults.saved_epochs", list(range(10_000)), ["grid[0].saved_epochs: 11 lies beyond training.epochs"]),
    ("defaults.data_seeds", ["0-999999999"], ["grid[0].data_seeds: ['0-999999999']: 4,000,000,000 runs", "100,000"]),
    ("defaults.data_seeds", list(range(10_000)), ["grid[0].data_seeds: [0, 1", "jobs", "max_jobs (100,000)"]),
    ("defaults.levels", [i / 20_000 for i in range(20_000)], ["grid[0].levels: [0.0", "120,000 jobs"]),
    (
        "grid.0.interventions",
        {"rewind": {"rerandomisations": 1e9}},
        ["rewind.rerandomisations: 1000000000 is greater than", "10000"],
    ),
    ("grid.0.interventions", {"edit": {"epochs": [4], "until": 1e12}}, ["edit.until: 1000000000000 is greater"]),
    ("grid.0.geometry", {"directions": 1e12}, ["geometry.directions: 1000000000000 is greater"]),
    ("grid.0.geometry", {"simulated": {"dichotomies": 1e12}}, ["simulated.dichotomies: 1000000000000 is greater"]),
    ("datasets", {"own": {"folder": ".", "size": 1e6}}, ["datasets.own.size: 1000000 is greater"]),
    ("models", {"own": {"factory": "mlp", "options": {"widths": [0] * 110_000}}}, ["more than 100,000 values"]),
    # Held-out parts
    ("defaults.validation", 0.9999, ["validation: 0.9999 leaves 0 of 1,347 training examples of digits", "10 classes"]),
    ("defaults.validation", 0.995, ["validation: 0.995 leaves 7 of 1,347", "hold out less"]),
    ("defaults.validation", 0.0001, ["validation: 0.0001 holds out none of 1,347 examples of digits"]),
]


@pytest.mark.parametrize(
    ("path", "value", "words"), REFUSALS, ids=[f"{path}={str(value)[:40]!r}" for path, value, _ in REFUSALS]
)
def test_what_has_no_meaning_is_refused_at_once(path, value, words):
    config = changed(path, value)
    started = time.process_time()
    with pytest.raises(grid.ConfigError) as error:
        grid.load(config)
    assert time.process_time() - started < 5
    for word in words:
        assert word in str(error.value)
    assert len(str(error.value)) < 60_000


def bomb():
    """A value of 10¹⁰ parts in a kilobyte."""
    value = ["x"] * 10
    for _ in range(9):
        value = [value] * 10
    return value


def deep():
    value = []
    for _ in range(900):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"), [(bomb(), "100,000 values"), (deep(), "deeper than 50")], ids=["bomb", "deep"]
)
@pytest.mark.parametrize("path", ["grid.0.model", "defaults.levels", "models", "nonsense"])
def test_values_that_multiply_are_refused_at_once(path, value, words):
    """As another workflow, or Snakemake's own reading of a file, may hand them over."""
    config = changed("nonsense", "x")
    *parents, last = path.split(".")
    place = config["grid"][0] if parents == ["grid", "0"] else config.get(*parents) if parents else config
    place[last] = {"own": {"factory": "mlp", "options": {"widths": value}}} if last == "models" else value
    started = time.process_time()
    with pytest.raises(grid.ConfigError, match=words) as error:
        grid.load(config)
    assert time.process_time() - started < 5 and len(str(error.value)) < 5000


def test_blocks_of_a_training_that_may_stop_early_are_counted():
    config = changed("defaults.epochs_per_job", 1)
    config["defaults"]["training"] |= {"epochs": 10_000_000, "stop_accuracy": 1.0}
    with pytest.raises(
        grid.ConfigError, match=r"grid\[0\].epochs_per_job: 1: 40,000,012 jobs, before exclusions; max_jobs"
    ):
        grid.load(config)
    config["defaults"]["training"]["stop_accuracy"] = None
    assert [cell.blocks[-1] for cell in grid.load(config).cells] == ["10000000-10000000"] * 4


def test_entries_are_counted_together_and_the_limit_can_be_raised():
    config = changed("grid", [{"model": "mlp_small", "data_seeds": [i], "model_seeds": "paired"} for i in range(40)])
    config["max_jobs"] = 120
    # Two levels, each with labels, training and probes of one block.
    with pytest.raises(grid.ConfigError, match=r"grid: 240 jobs, before exclusions; max_jobs \(120\) allows 120"):
        grid.load(config)
    config["max_jobs"] = 240
    assert len(grid.load(config).cells) == 80


def test_the_number_of_jobs_is_not_underestimated():
    """Against a count of the files that the workflow asks for."""
    from latentgen.estimate import work
    from latentgen.grid import limits
    from repository import ROOT

    for name in (
        "config.yaml",
        "config/smoke.yaml",
        "config/ketha2026/mlp-mnist.yaml",
        "config/stephenson2021/cnn-mnist.yaml",
    ):
        config = yaml.safe_load((ROOT / name).read_text())
        loaded = grid.load(config)
        jobs = sum(len(work.jobs(cell, dump=False)) for cell in loaded.cells)
        runs = sum(len(cell.runs) for cell in loaded.cells)
        kept = sum(len(cell.runs) * len(work.kept_epochs(cell)) for cell in loaded.cells)
        least = {"jobs": jobs, "runs": runs, "checkpoints": -(-kept // limits.CHECKPOINTS_OF_A_JOB)}
        for count in least.values():
            with pytest.raises(grid.ConfigError, match="max_jobs"):
                grid.load(config | {"max_jobs": count - 1})
        assert len(grid.load(config | {"max_jobs": 2 * max(least.values())}).cells) == len(loaded.cells)


def test_models_that_share_a_folder_on_some_file_systems_are_refused():
    config = changed("models", {"wide": {"factory": "mlp"}, "Wide": {"factory": "mlp"}})
    config["grid"][0]["model"] = ["wide", "Wide"]
    with pytest.raises(grid.ConfigError, match="models: 'Wide' and 'wide' differ in upper and lower case alone"):
        grid.load(config)
    config["grid"][0]["model"] = ["wide"]
    assert grid.load(config).cells


def test_an_open_choice_of_file_is_explained():
    with pytest.raises(grid.ConfigError) as error:
        grid.load({"device": "cuda"})
    for words in ("grid: is needed", "--config key=value", "--configfile config.yaml yours.yaml"):
        assert words in str(error.value)


def test_the_known_sizes_are_those_of_the_data(digits):
    assert datasets.TRAINING["digits"] == (len(digits.x_train), digits.n_classes)
    assert set(datasets.TRAINING) == set(datasets.BUILTIN)
