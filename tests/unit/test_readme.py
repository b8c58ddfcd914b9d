"""What the README states of the default grid, on the machine that runs the tests."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml

from latentgen import datasets, grid, labels, summary, tables
from latentgen.probes.blocks import probe_block
from latentgen.trained import TrainedCell
from latentgen.training.cell import train_cell
from latentgen.training.recipe import Recipe
from repository import ROOT

pytestmark = pytest.mark.slow

README = " ".join((ROOT / "README.md").read_text().split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits_folder):
    """{quantity: percent of each run} of the small MLP of the default grid at level 0.6, with VeLPIC."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    cells = grid.load(config).cells
    (cell,) = [cell for cell in cells if (cell.model, cell.level) == ("mlp_small", 0.6)]
    folder, columns = tmp_path_factory.mktemp("readme"), [run.columns() for run in cell.runs]
    drawn = folder / "labels.parquet"
    data = datasets.load(digits_folder)
    tables.write(labels.draw(data.y_train, data.n_classes, columns, cell.settings["validation"]), drawn)
    recipe = Recipe.from_config(cell.settings["training"])
    # What is saved changes nothing in a training: the first and the last epoch are enough here.
    train_cell(folder, columns, digits_folder, drawn, cell.declared_model, recipe, [0], "cpu", 1)
    trained = TrainedCell(folder, columns, digits_folder, drawn, cell.declared_model, "cpu", threads=1)
    velpic = {"velpic": {key: value for key, value in cell.settings["probes"]["velpic"].items() if key != "family"}}
    probes = [probe_block(trained, velpic, block=block).to_pandas() for block in cell.blocks]
    probes, history = pd.concat(probes), tables.read(folder / "history.parquet")
    found = {}
    for data_seed in sorted(history["data_seed"].unique()):
        one = summary.headline(*(frame[frame["data_seed"] == data_seed] for frame in (probes, history)))
        for row in one.itertuples():
            found.setdefault(row.quantity, []).append(100 * row.mean)
    table = summary.headline(probes, history)
    best = table[table["quantity"] == "probe_final_best_layer"].iloc[0]
    shown = summary.probe_accuracy(probes)
    shown = shown[(shown["layer"] == best["layer"]) & (shown["epoch"] == recipe.epochs)].sort_values("data_seed")
    found["velpic"] = list(100 * shown["value"])
    return {name: np.array(values) for name, values in found.items()}


def stated(pattern):
    """Number in the README's only sentence of this pattern."""
    (number,) = re.findall(pattern, README)
    return float(number)


def test_what_the_readme_states_of_the_digits_holds_here(runs):
    assert (
        all(len(values) == 5 for values in runs.values()) and "at least 25 points more in each of five runs" in README
    )
    assert runs["model_final"].mean() < stated(r"the small MLP ends below (\d+) % test accuracy")
    assert runs["velpic"].mean() > stated(r"fitted on the same wrong labels, has more than (\d+) %")
    gain = runs["velpic"] - runs["model_final"]
    assert gain.min() >= stated(r"at least (\d+) points more in each of five runs")
    untrained = stated(r"the untrained network's best layer gives more than (\d+) % too")
    assert runs["probe_initial_best_layer"].mean() > untrained
    assert "in its best epoch (found on test data, an oracle), had more than VeLPIC has at the end" in README
    assert runs["model_best_epoch"].mean() > runs["velpic"].mean()


def test_the_numbers_of_machines_keep_to_what_is_stated():
    """Those in the README, of two machines, and of the whole grid's first one in docs/results.md."""
    numbers = re.search(r"one gave ([\d.]+) ± [\d.]+ for the network .*?, another ([\d.]+) ± [\d.]+", README).groups()
    assert all(float(number) < stated(r"ends below (\d+) %") for number in numbers)
    text = (ROOT / "docs" / "results.md").read_text()
    (row,) = re.findall(r"^\| `mlp_small` \| 0\.6 \| (.*) \|$", text, flags=re.M)
    last, early, _, velpic, _, gain, gap = [float(cell.split(" ± ")[0].replace("−", "-")) for cell in row.split(" | ")]
    assert f"{last:g} ± " in README and last < stated(r"ends below (\d+) %")
    assert velpic > stated(r"wrong labels, has more than (\d+) %") and gain > stated(r"at least (\d+) points more")
    assert early > velpic and gap < 0
