"""A small trained cell on the digits: what tests of probes and interventions start from."""

from latentgen import datasets, labels, tables
from latentgen.trained import TrainedCell
from latentgen.training.cell import train_cell
from latentgen.training.recipe import Recipe

MODEL = {"factory": "mlp_small", "options": {}}
RUNS = [
    {
        "dataset": "digits",
        "model": "mlp_small",
        "noise": "uniform",
        "level": 0.6,
        "data_seed": seed,
        "model_seed": 0,
        "entry": "abc",
    }
    for seed in (0, 1)
]
RECIPE = Recipe("adam", 0.005, 64, epochs=4)


def train(folder, digits_folder, recipe=RECIPE, saved=(0, 1, 4), runs=RUNS, model=MODEL, device="cpu"):
    """Draw labels with a tenth held out and train the runs into ``folder``."""
    data = datasets.load(digits_folder)
    tables.write(labels.draw(data.y_train, 10, runs, 0.1), folder / "labels.parquet")
    train_cell(folder, runs, digits_folder, folder / "labels.parquet", model, recipe, saved, device, 1)


def trained_cell(folder, digits_folder, runs=RUNS, model=MODEL, device="cpu", labels_file=None):
    """The cell that `train` left in ``folder``; perhaps with other labels than it saw."""
    return TrainedCell(folder, runs, digits_folder, labels_file or folder / "labels.parquet", model, device, threads=1)
