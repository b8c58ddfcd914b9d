"""Configuration files as they are written: what Snakemake's own reading no longer shows."""

import json
import os
import time

import numpy as np
import pytest
import yaml
from PIL import Image

from latentgen import grid
from latentgen.grid import paths, reading
from repository import ROOT

GOOD = """
defaults:
  dataset: digits
  levels: [0.6]
  saved_epochs: [0, 4]
  training: &recipe {optimizer: adam, learning_rate: 0.001, batch_size: 32, epochs: 10}
  probes: {masc: {kind: masc}}
grid:
  - &small {model: mlp_small, training: {<<: *recipe, epochs: 20}}
  - <<: *small
    model: cnn_small
"""

#: Texts that are added to GOOD or stand alone, and what the refusal must name.
REFUSALS = {
    "top level": (GOOD + "device: cpu\nthreads: 1\ndevice: cuda\n", ["device: written 2 times, in lines 12 and 14"]),
    "a whole block": (
        "defaults:\n  probes:\n    masc: {kind: masc}\n  probes:\n    velpic: {kind: velpic}\ngrid: []\n",
        ["defaults.probes: written 2 times, in lines 2 and 4; keep one of them"],
    ),
    "in a list": ("grid:\n  - model: mlp\n    model: cnn\n    model: cnn", ["grid[0].model", "3 times", "2, 3 and 4"]),
    "in one line": ("grid: [{model: mlp, model: cnn}]", ["grid[0].model: written 2 times, in line 1"]),
    "quoted or not": ("device: cpu\n'device': cpu", ["device: written 2 times, in lines 1 and 2"]),
    "in something that others alias": (
        "defaults: &d\n  epochs_per_job: 1\n  epochs_per_job: 2\ngrid:\n  - *d\n  - {<<: *d}",
        ["defaults.epochs_per_job: written 2 times, in lines 2 and 3"],
    ),
    "two merges": ("a: &a {x: 1}\nb: &b {y: 2}\nc:\n  <<: *a\n  <<: *b", ["c.<<: written 2 times", "<<: [*a, *b]"]),
    "one number, two ways": ("models:\n  1: {}\n  0x1: {}", ["models.1: written 2 times, in lines 2 and 3"]),
    "JSON": ('{\n\t"device": "cpu",\n\t"grid": [],\n\t"device": "cuda"\n}', ["device", "in lines 2 and 4"]),
    "octal": (GOOD + "threads: 010", ["threads: 010 in line 12 is read as an octal number, 8", "decimal"]),
    "octal in a list": ("grid:\n  - data_seeds: [0, 017]", ["grid[0].data_seeds[1]: 017 in line 2", "15"]),
    "base 60": (
        "grid:\n  - saved_epochs: [1:20]",
        ["saved_epochs[0]: 1:20 in line 2 is read as", "base 60, 80", "quote"],
    ),
    "base 60 as a key": ("models: {12:30: {}}", ["models.12:30: 12:30 in line 1", "750"]),
}


def refusal(load, *arguments):
    with pytest.raises(grid.ConfigError) as error:
        load(*arguments)
    return str(error.value)


def load_files(*files):
    """As Snakemake does, which parses the files itself."""
    return grid.load(yaml.safe_load(files[0].read_text()), files)


@pytest.mark.parametrize(("text", "words"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("included", [False, True])
def test_what_yaml_loses_is_named_with_its_file_and_lines(tmp_path, monkeypatch, text, words, included):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    if included:
        message = refusal(grid.load, {"grids": ["mine.yaml"]})
    else:
        message = refusal(grid.load, yaml.safe_load(GOOD), [tmp_path / "mine.yaml"])
    for word in ["mine.yaml: ", *words]:
        assert word in message


def test_all_files_of_a_call_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text(GOOD)
    (tmp_path / "two.yaml").write_text("device: cpu\ndevice: cpu")
    message = refusal(load_files, tmp_path / "one.yaml", tmp_path / "two.yaml")
    assert message.startswith("the configuration one.yaml, two.yaml cannot run:\n  two.yaml: device: written 2 times")


def test_anchors_merges_and_overridden_keys_are_no_duplicates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    cells = load_files(tmp_path / "good.yaml").cells
    assert [(cell.model, cell.settings["training"]["epochs"]) for cell in cells] == [
        ("mlp_small", 20),
        ("cnn_small", 20),
    ]
    assert [cell.path for cell in grid.load({"grids": ["good.yaml"]}).cells] == [cell.path for cell in cells]


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "config").rglob("*.yaml"))], ids=lambda p: p.name
)
def test_no_shipped_grid_has_anything_of_this(path):
    assert reading.errors(path) == []
    assert reading.read(path) == yaml.safe_load(path.read_text())


def test_json_is_read_as_json(tmp_path):
    value = {"tab": ["\t", 1e-3, True, None, "é", {"1": 2}]}
    (tmp_path / "grid.json").write_text(json.dumps(value, indent="\t"))
    assert reading.read(tmp_path / "grid.json") == value and reading.errors(tmp_path / "grid.json") == []


def bomb(kind):
    """Ten levels of ten aliases each."""
    if kind == "lists":
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    elif kind == "mappings":
        lines = ["a0: &a0 {x: 1}"]
        lines += [f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(10))}}}" for n in range(1, 10)]
    else:
        lines = ["a0: &a0 {x: 1}"]
        lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    return "\n".join(lines)


#: Files that would take all time or memory, and what is said of them.
LARGE = {
    "aliases in lists": (bomb("lists"), "more than 100,000 values, all aliases written out"),
    "aliases in mappings": (bomb("mappings"), "more than 100,000 values, all aliases written out"),
    "merges": (bomb("merges"), "more than 100,000 values, all aliases written out"),
    "a value that contains itself": ("grid: &g [*g]", "more than 100,000 values"),
    "deep": ("grid: " + "[" * 200_000 + "]" * 200_000, "line 1 is nested deeper than 50 levels"),
    "deep blocks": ("grid:\n  " + "- " * 100 + "x", "line 2 is nested deeper than 50 levels"),
    "100 MB": ("x" * 100_000_000, "it has 100,000,000 bytes; allowed: 1,000,000; divide it"),
    "two documents": ("grid: []\n---\ngrid: []", "expected a single document"),
    "not UTF-8": (b"device: \xff", "'utf-8' codec can't decode"),
    "a date": ("grid: [{model: 2026-01-02}]", "grid[0].model: datetime.date(2026, 1, 2) is a date; put it in quotes"),
    "a set": ("grid: !!set {a, b}", "grid: {'a', 'b'} is a set"),
    "a python object": ("grid: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "keys of several types": (
        "models: {1: {factory: cnn}, a: {factory: cnn}}",
        "models.1: the key 1 is a int, not text",
    ),
    "a key that is a list": ("models: {[a]: {factory: cnn}}", "unhashable key"),
}


@pytest.mark.parametrize(("text", "words"), LARGE.values(), ids=LARGE)
def test_a_file_that_cannot_be_taken_is_refused_at_once(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    started = time.process_time()
    message = refusal(grid.load, {"grids": ["mine.yaml"]})
    assert time.process_time() - started < 5
    assert "mine.yaml" in message
    assert words in message.replace("{'b', 'a'}", "{'a', 'b'}") and len(message) < 2000


def test_a_pipe_is_no_configuration_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "it is no file" in refusal(grid.load, {"grids": [str(tmp_path / "pipe")]})
    assert reading.errors(tmp_path / "pipe") == ["cannot be read: it is no file"]


def test_paths_are_expanded_or_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.delenv("UNSET", raising=False)
    for path, expanded in [
        ("data", "data"),
        ("~", f"{tmp_path}/home"),
        ("~/data", f"{tmp_path}/home/data"),
        ("$SCRATCH/data", "/scratch/me/data"),
        ("${SCRATCH}/a$SCRATCH", "/scratch/me/a/scratch/me"),
        ("a~b/~c", "a~b/~c"),
        ("a$", "a$"),
    ]:
        assert paths.expanded(path) == expanded
    for path, words in [
        ("$UNSET/data", "'$UNSET/data' names the variable UNSET, which is not set"),
        ("${SCRATCH}/${UNSET}", "names the variable UNSET"),
        ("~nobody-of-this-name/data", "begins with ~nobody-of-this-name, whose home folder is not known"),
    ]:
        with pytest.raises(ValueError, match="write the path out") as error:
            paths.expanded(path)
        assert words in str(error.value)
    (tmp_path / "a$UNSET").mkdir()
    assert paths.expanded("a$UNSET") == "a$UNSET"


def test_every_path_of_a_configuration_is_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", str(tmp_path))
    good = yaml.safe_load(GOOD)
    good["datasets"] = {"mine": {"npz": "$HERE/mine.npz"}, "leaves": {"folder": "$HERE/leaves"}}
    good["defaults"]["dataset"] = ["digits", "mine", "leaves"]
    images, labels = np.zeros((4, 6, 6), dtype=np.uint8), np.arange(4) % 2
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    for part in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "leaves" / part).mkdir(parents=True)
        Image.fromarray(images[0]).save(tmp_path / "leaves" / part / "1.png")
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(good))
    loaded = grid.load({"data_root": "${HERE}/data", "grids": ["$HERE/grid.yaml"]})
    assert loaded.config["data_root"] == f"{tmp_path}/data"
    declared = {cell.dataset: cell.declared_dataset for cell in loaded.cells}
    assert declared == {
        "digits": None,
        "mine": {"npz": f"{tmp_path}/mine.npz"},
        "leaves": {"folder": f"{tmp_path}/leaves"},
    }
    monkeypatch.delenv("HERE")
    assert "grids: '$HERE/grid.yaml' cannot be read: '$HERE/grid.yaml' names the variable HERE" in refusal(
        grid.load, {"grids": ["$HERE/grid.yaml"]}
    )
    message = refusal(grid.load, good | {"data_root": "$HERE"})
    for key in ("data_root: '$HERE'", "datasets.mine.npz: '$HERE/mine.npz'", "datasets.leaves.folder: '$HERE/leaves'"):
        assert key in message
