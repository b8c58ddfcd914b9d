"""An index: a configuration that runs the grids of others together."""

import copy

import pytest
import yaml

from latentgen import grid

FIRST = {
    "device": "cpu",
    "defaults": {
        "dataset": "digits",
        "levels": [0.0, 0.6],
        "saved_epochs": [0, 4],
        "training": {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 32, "epochs": 10},
        "probes": {"masc": {"kind": "masc"}},
    },
    "grid": [{"model": "mlp_small"}],
}
SECOND = {
    "models": {"wide": {"factory": "mlp", "options": {"widths": [512]}}},
    "defaults": {
        "dataset": "digits",
        "levels": [0.6],
        "saved_epochs": [0],
        "training": {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64, "epochs": 5},
        "probes": {"velpic": {"kind": "velpic"}},
    },
    "grid": [{"model": "wide"}],
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """``load(index, name=file, …)``: the index loaded where its files are."""
    monkeypatch.chdir(tmp_path)

    def loaded(index, **files):
        for name, config in files.items():
            (tmp_path / f"{name}.yaml").write_text(config if isinstance(config, str) else yaml.safe_dump(config))
        return grid.load(index)

    return loaded


def refusal(load, index, **files):
    with pytest.raises(grid.ConfigError) as error:
        load(index, **files)
    return str(error.value)


INDEX = {"grids": ["first.yaml", "second.yaml"]}


def test_the_cells_are_those_of_the_files_each_with_its_own_defaults(load):
    cells = load(INDEX, first=FIRST, second=SECOND).cells
    alone = [*grid.load(FIRST).cells, *grid.load(SECOND).cells]
    assert cells == alone and [cell.entry for cell in cells] == [cell.entry for cell in alone]
    assert [(cell.model, cell.level, list(cell.families)) for cell in cells] == [
        ("mlp_small", 0.0, ["moments"]),
        ("mlp_small", 0.6, ["moments"]),
        ("wide", 0.6, ["moments"]),
    ]
    assert [cell.settings["training"]["epochs"] for cell in cells] == [10, 10, 5]


def test_the_rest_of_the_top_level_is_the_index_s_own(load):
    index = {**INDEX, "threads": 3, "activations": "dump"}
    loaded = load(index, first={**FIRST, "threads": 2}, second={**SECOND, "data_root": "/elsewhere"})
    top = {key: loaded.config[key] for key in ("device", "threads", "activations", "data_root")}
    assert top == {"device": "auto", "threads": 3, "activations": "dump", "data_root": "data"}
    assert loaded.config["models"] == SECOND["models"]


def test_an_index_may_have_entries_of_its_own(load):
    own = {**FIRST, "grid": [{"model": "cnn_small"}], "grids": ["second.yaml"]}
    assert [cell.model for cell in load(own, second=SECOND).cells] == ["cnn_small", "cnn_small", "wide"]


def test_equal_declarations_in_two_files_are_one(load):
    third = {**copy.deepcopy(SECOND), "grid": [{"model": "wide", "levels": [0.2]}]}
    index = {"grids": ["second.yaml", "third.yaml"]}
    assert [cell.level for cell in load(index, second=SECOND, third=third).cells] == [0.6, 0.2]


def test_exclusions_of_a_file_count(load):
    first = {**FIRST, "exclude": [{"model": "mlp_small", "level": 0.0}]}
    assert [(cell.model, cell.level) for cell in load(INDEX, first=first, second=SECOND).cells] == [
        ("mlp_small", 0.6),
        ("wide", 0.6),
    ]


def test_declarations_do_not_outlive_their_index(load):
    load(INDEX, first=FIRST, second=SECOND)
    undeclared = {key: value for key, value in SECOND.items() if key != "models"}
    assert "unknown model 'wide'" in refusal(load, undeclared)


def test_a_configuration_without_any_grid_is_refused(load):
    assert "grid: is needed" in refusal(load, {"device": "cpu"})


def test_a_missing_file_is_named(load):
    message = refusal(load, INDEX, first=FIRST)
    assert "grids: 'second.yaml' cannot be read" in message and "where snakemake is called" in message


def test_a_file_that_is_no_yaml_is_named(load):
    assert "grids: 'second.yaml' cannot be read" in refusal(load, INDEX, first=FIRST, second="grid: [")


@pytest.mark.parametrize("text", ["", "just words"])
def test_a_file_that_is_no_configuration_is_named(load, text):
    assert "second.yaml: " in refusal(load, INDEX, first=FIRST, second=text)


def test_an_index_in_an_index_is_refused(load):
    message = refusal(load, INDEX, first=FIRST, second={"grids": ["first.yaml"]})
    assert "second.yaml: grids: an included file may not include others" in message


def test_no_files_are_refused(load):
    assert "grids" in refusal(load, {"grids": []})


def test_errors_name_the_file_and_the_entry(load):
    first = copy.deepcopy(FIRST)
    first["grid"].append({"model": "cnm_small"})
    second = copy.deepcopy(SECOND)
    second["defaults"]["levels"] = [1.5]
    message = refusal(load, INDEX, first=first, second=second)
    assert "first.yaml: grid[1].model: unknown model 'cnm_small'" in message
    assert "second.yaml: grid[0].levels: 1.5 is not a probability" in message


def test_unknown_keys_of_a_file_name_the_file(load):
    message = refusal(load, INDEX, first={**FIRST, "grd": []}, second=SECOND)
    assert "first.yaml: grd: unknown key; did you mean 'grid'?" in message


def test_declarations_that_differ_are_refused(load):
    first = {**FIRST, "models": {"wide": {"factory": "cnn"}}}
    message = refusal(load, INDEX, first=first, second=SECOND)
    assert "second.yaml: models.wide: declared differently before; choose another name" in message


def test_a_run_that_two_files_declare_is_refused(load):
    second = {**copy.deepcopy(FIRST), "grid": [{"model": ["mlp_small", "cnn_small"]}]}
    message = refusal(load, INDEX, first=FIRST, second=second)
    assert "uniform-0.6/data0-model0 (data0-model0) is declared twice" in message


def test_a_probe_name_that_means_two_probes_in_two_files_is_refused(load):
    second = copy.deepcopy(SECOND)
    second["defaults"]["probes"] = {"masc": {"kind": "masc", "variance": 0.5}}
    message = refusal(load, INDEX, first=FIRST, second=second)
    assert "probes.masc: two entries mean different probes by this name" in message


def test_a_file_s_exclusions_are_its_own_and_the_index_s_are_of_all(load):
    first = {**FIRST, "exclude": [{"level": 0.6}]}
    cells = load(INDEX, first=first, second=SECOND).cells
    assert [(cell.model, cell.level) for cell in cells] == [("mlp_small", 0.0), ("wide", 0.6)]
    cells = load({**INDEX, "exclude": [{"level": 0.6}]}, first=FIRST, second=SECOND).cells
    assert [(cell.model, cell.level) for cell in cells] == [("mlp_small", 0.0)]
    message = refusal(load, INDEX, first=FIRST, second={**SECOND, "exclude": [{"level": 0.0}]})
    assert "second.yaml: exclude[0]: {'level': 0.0} matches no point of the grid" in message


def test_a_file_without_a_grid_is_refused(load):
    defaults = {key: value for key, value in SECOND.items() if key != "grid"}
    assert "second.yaml: grid: is needed in an included file" in refusal(load, INDEX, first=FIRST, second=defaults)
