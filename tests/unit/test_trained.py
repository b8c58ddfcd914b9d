"""A trained cell: what it reads, and what the rows of its checkpoints are known by."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cells import MODEL, RUNS, train, trained_cell

from latentgen import datasets, labels, tables
from latentgen.datasets import base
from latentgen.trained import TrainedCell


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits_folder):
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder)
    return folder


def test_the_files_of_a_job_name_the_cell(folder, digits_folder):
    index, data, drawn = folder / "checkpoints.json", digits_folder / "meta.json", folder / "labels.parquet"
    files = SimpleNamespace(index=str(index), data=str(data), labels=str(drawn))
    cell = TrainedCell.of_job(files, SimpleNamespace(runs=RUNS, model=MODEL, device="cpu", threads=1))
    assert cell == trained_cell(folder, digits_folder)
    assert set(cell.labels) == {0, 1} and cell.labels[1].digest == labels.RunLabels.read(drawn, 1).digest
    assert cell.data.digest == datasets.load(digits_folder).digest


def test_a_block_has_the_checkpoints_of_all_runs_in_it(folder, digits_folder):
    cell = trained_cell(folder, digits_folder)
    found = [(checkpoint.run["data_seed"], checkpoint.epoch) for checkpoint in cell.checkpoints("0001-0003")]
    assert found == [(0, 1), (1, 1)]
    assert cell.checkpoints("0005-0009") == []


@pytest.fixture
def other_labels(folder, tmp_path):
    """Labels of which one more was drawn otherwise, as another version of the draw would."""
    changed = pq.read_table(folder / "labels.parquet").to_pandas()
    first = changed.index[changed["data_seed"] == 0][0]
    changed.loc[first, "given_label"] = (changed.loc[first, "given_label"] + 1) % 10
    tables.write(pa.Table.from_pandas(changed, tables.LABELS, preserve_index=False), tmp_path / "labels.parquet")
    return tmp_path / "labels.parquet"


@pytest.fixture
def other_data(digits, tmp_path):
    """The digits with another pixel."""
    pixels = digits.x_test.copy()
    pixels.flat[0] += np.uint8(1)
    arrays = {name: getattr(digits, name) for name in base.ARRAYS} | {"x_test": pixels}
    datasets.save(base.assemble(arrays, digits.pixel_max), tmp_path / "data")
    return tmp_path / "data"


def test_rows_are_known_by_all_that_they_are_computed_from(folder, digits_folder, other_labels, other_data):
    cell = trained_cell(folder, digits_folder)
    checkpoint, later = cell.checkpoints("0000-0001")[:2]
    keys = [
        cell.inputs(checkpoint, [1, 2], "masc"),
        cell.inputs(later, [1, 2], "masc"),
        cell.inputs(dataclasses.replace(checkpoint, sha256="0" * 64), [1, 2], "masc"),
        cell.inputs(checkpoint, [1, 3], "masc"),
        cell.inputs(checkpoint, [1, 2], "velpic"),
        cell.inputs(checkpoint, [1, 2]),
    ]
    changes = [
        {"data_folder": other_data},
        {"labels_file": other_labels},
        {"model": {**MODEL, "options": {"width": 10}}},
        {"device": "cuda"},
        {"threads": 2},
    ]
    keys += [dataclasses.replace(cell, **change).inputs(checkpoint, [1, 2], "masc") for change in changes]
    assert len(set(keys)) == len(keys)


def test_rows_stay_known_under_another_recipe_beside_other_runs(folder, digits_folder, other_labels):
    cell = trained_cell(folder, digits_folder)
    checkpoint = cell.checkpoints("0000-0000")[0]
    renamed = dataclasses.replace(checkpoint, run={**checkpoint.run, "entry": "xyz"})
    alone = dataclasses.replace(cell, runs=RUNS[:1])
    assert cell.inputs(checkpoint, [1]) == cell.inputs(renamed, [1]) == alone.inputs(checkpoint, [1])
    # Those of the second seed do not depend on the labels of the first.
    second = cell.checkpoints("0000-0000")[1]
    relabelled = dataclasses.replace(cell, labels_file=other_labels)
    assert cell.inputs(second, [1]) == relabelled.inputs(second, [1])
