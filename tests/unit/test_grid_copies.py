"""Runs that cannot differ are refused where they would count as several, and few runs are announced."""

import time

import numpy as np
import pytest
import yaml
from PIL import Image

from latentgen import grid, labels
from latentgen.grid import copies
from repository import ROOT

DEFAULTS = {
    "dataset": "digits",
    "saved_epochs": [0, 4],
    "training": {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 32, "epochs": 4},
    "probes": {"masc": {"kind": "masc"}},
}


def load(*entries, **top):
    plain = {"model": "mlp_small"} if entries else {}
    return grid.load({"defaults": DEFAULTS, "grid": [plain | entry for entry in entries], **top})


def refusal(*entries, **top):
    with pytest.raises(grid.ConfigError) as error:
        load(*entries, **top)
    return str(error.value)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Data sets of two and of three classes, as files and as folders of images, by name."""
    monkeypatch.chdir(tmp_path)
    declared = {}
    for name, classes in (("two", 2), ("three", 3)):
        y = np.arange(60) % classes
        x = np.zeros((60, 4, 4), np.uint8)
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        declared[name] = {"npz": f"{name}.npz"}
        for part in ("train", "test"):
            for label in range(classes):
                (tmp_path / name / part / f"class{label}").mkdir(parents=True)
                Image.new("L", (8, 8)).save(tmp_path / name / part / f"class{label}" / "a.png")
            # Hidden folders are no classes.
            (tmp_path / name / part / ".cache").mkdir()
        declared[f"{name}-folder"] = {"folder": name}
    return declared


CLASSES = {"digits": 10, "two": 2, "three": 3, "two-folder": 2}


@pytest.mark.parametrize("validation", [0.0, 0.1])
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("noise", ["uniform", "exclude_true", "ketha2026"])
@pytest.mark.parametrize("dataset", CLASSES)
def test_data_seeds_are_refused_exactly_where_they_draw_nothing(own, dataset, noise, level, validation):
    point = {"dataset": dataset, "noise": noise, "levels": [level], "validation": validation}
    runs = [{**run.columns(), "entry": ""} for run in load(point, datasets=own).cells[0].runs]
    drawn = []
    for seed in (0, 1):
        table = labels.draw(
            np.arange(60) % CLASSES[dataset], CLASSES[dataset], [{**runs[0], "data_seed": seed}], validation
        )
        drawn.append(table.select(["given_label", "split"]))
    several = {**point, "data_seeds": [0, 1]}
    if drawn[0].equals(drawn[1]):
        assert f"level {level:g} of {dataset}/mlp_small" in refusal(several, datasets=own)
    else:
        assert len(load(several, datasets=own).cells) == 2
    # The same with seeds in one cell, and its remedies.
    if drawn[0].equals(drawn[1]):
        refusal({**point, "data_seeds": ["0-1"]}, datasets=own)
    assert load({**several, "model_seeds": "paired"}, datasets=own)
    assert load({**point, "data_seeds": [1], "model_seeds": [0, 1, 2]}, datasets=own)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"levels": [0.0, 0.6], "data_seeds": ["0-2"]}], ["grid[0].data_seeds: 0, 1, 2 with", "level 0 of"]),
        ([{"levels": [0.0], "data_seeds": [0, 1], "model_seeds": [3, 4]}], ["0, 1 with model seed 3"]),
        ([{"levels": [0.0], "data_seeds": ["0-99"]}], ["0, 1, 2, 3, … (100 seeds)"]),
        ([{"levels": [0.0]}, {"levels": [0.0], "data_seeds": [5]}], ["grid[0] and grid[1].data_seeds: 0, 5 with"]),
        # One run is paired, its copy is not.
        (
            [{"levels": [0.0], "data_seeds": [2], "model_seeds": "paired"}, {"levels": [0.0], "model_seeds": [2]}],
            ["0, 2 with model seed 2"],
        ),
        (
            [{"levels": [0.0], "data_seeds": [0, 1], "model": ["mlp_small", "cnn_small"]}],
            ["digits/mlp_small, digits/cnn_small", "model_seeds: paired", "an entry of its own with one data seed"],
        ),
    ],
    ids=["range", "product", "many", "two entries", "paired and not", "two models"],
)
def test_refusals_name_entry_seeds_level_and_remedy(entries, words):
    text = refusal(*entries)
    assert all(word in text for word in words), text
    assert text.count("one and the same run") == 1


def test_a_held_out_part_of_no_example_draws_nothing(own):
    several = {"dataset": "two", "levels": [0.0], "data_seeds": [0, 1]}
    assert "one and the same run" in refusal({**several, "validation": 0.001}, datasets=own)
    assert len(load({**several, "validation": 0.02}, datasets=own).cells) == 2


def test_an_included_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part.yaml").write_text(str({"defaults": DEFAULTS, "grid": [{"model": "mlp", "levels": [0.0]}]}))
    both = {"model": "mlp", "levels": [0.0], "data_seeds": [1]}
    assert "grid[0] and part.yaml: grid[0].data_seeds: 0, 1" in refusal(both, grids=["part.yaml"])


def test_what_is_excluded_is_no_copy():
    point = {"levels": [0.0, 0.6], "data_seeds": [0, 1]}
    assert len(load(point, exclude=[{"level": 0.0}]).cells) == 2


def test_runs_of_one_point_have_one_recipe():
    more = {"training": {"epochs": 9}, "data_seeds": [1], "levels": [0.2, 0.4]}
    text = refusal({"levels": [0.4]}, more)
    assert "grid[1]: trains digits/mlp_small at level 0.4 otherwise than grid[0]" in text and "'models'" in text
    text = refusal({"levels": [0.4]}, {"levels": [0.4], "data_seeds": [1], "validation": 0.2})
    assert "grid[1]: trains" in text
    # What is done with the trained networks may differ.
    other = {"levels": [0.4], "data_seeds": [1], "saved_epochs": [0, 2], "probes": {"velpic": {"kind": "velpic"}}}
    assert len(load({"levels": [0.4]}, other).cells) == 2


@pytest.mark.parametrize("text", [b"no archive", None], ids=["unreadable", "without labels"])
def test_a_file_that_cannot_be_counted_is_left_to_its_own_check(tmp_path, text):
    path = tmp_path / "own.npz"
    path.write_bytes(text) if text else np.savez(path, x=[1])
    several = {"dataset": "own", "noise": "exclude_true", "levels": [1.0], "data_seeds": [0, 1]}
    assert not list(copies.errors({"grid[0]": _cells_without_checks(several, path)}))


def _cells_without_checks(entry, path):
    from latentgen.grid.cells import Cell

    settings = {"training": DEFAULTS["training"], "validation": 0.0}
    seeds = [str(seed) for seed in entry["data_seeds"]]
    point = ("own", "mlp_small", "exclude_true", 1.0)
    return [Cell(*point, seed, "0", settings, {"factory": "mlp_small"}, {"npz": str(path)}) for seed in seeds]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"data_seeds": [0]}, []),
        ({"data_seeds": [0], "model_seeds": [0, 1]}, []),
        ({"data_seeds": ["0-3"], "model_seeds": "paired"}, []),
        ({"data_seeds": ["0-2"], "model_seeds": "paired"}, ["n is 3 at digits/mlp_small/uniform-0.4"]),
        ({"data_seeds": [0, 1], "model_seeds": [0, 1]}, ["n is 2"]),
        ({"data_seeds": ["0-3"]}, ["share one model seed at digits/mlp_small/uniform-0.4", "paired"]),
        ({"data_seeds": [0, 1], "levels": [0.4, 0.6]}, ["n is 2 at 2 of 2 grid points (first", "share one model seed"]),
    ],
)
def test_few_runs_and_shared_initialisations_are_announced(entry, words):
    found = copies.notes(load({"levels": [0.4], **entry}).cells)
    assert len(found) == sum(word.startswith(("n is", "share")) for word in words)
    assert all(word in " ".join(found) for word in words)


def test_a_large_grid_is_checked_in_seconds():
    cells = load({"levels": [0.0, 0.4], "data_seeds": ["0-19999"], "model_seeds": "paired"}).cells
    start = time.process_time()
    assert not list(copies.errors({"grid[0]": cells})) and not copies.notes(cells)
    assert time.process_time() - start < 2


def test_the_example_of_the_readme_and_the_shipped_grids_have_no_copies():
    """As `latentgen.grid.load` accepts them elsewhere; the default grid's intervals need no note."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert copies.notes(grid.load(config).cells) == []
    text = (ROOT / "README.md").read_text()
    example = next(block.split("```")[0] for block in text.split("```yaml\n")[1:] if "grid:" in block)
    example = yaml.safe_load(example)
    # Data and model of the example are the reader's own.
    example["datasets"], example["models"] = {}, {}
    example["grid"][0] |= {"dataset": "digits", "model": "mlp_small"}
    assert copies.notes(grid.load(example).cells) == []
