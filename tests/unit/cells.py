"""A small trained cell on the digits: what tests of probes and interventions start from."""

import json

from safetensors.torch import load_file, save_file

from latentgen import datasets, digests, labels, tables
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


def put_weights(folder, epoch, change, run="data0-model0"):
    """Give a checkpoint other weights, as if training had written them: ``change`` of each, or the same where None.

    The bytes are others in any case.
    """
    index_file = folder / "checkpoints.json"
    index, path = json.loads(index_file.read_text()), folder / "checkpoints" / run / f"epoch-{epoch:04d}.safetensors"
    weights = {name: change(tensor) if change else tensor for name, tensor in load_file(path).items()}
    path.unlink()  # perhaps linked to what training keeps
    save_file(weights, path, {"written": "anew"})
    index[run]["sha256"][str(epoch)] = digests.of_file(path)
    index_file.write_text(json.dumps(index))


def trained_cell(folder, digits_folder, runs=RUNS, model=MODEL, device="cpu", labels_file=None):
    """The cell that `train` left in ``folder``; perhaps with other labels than it saw."""
    return TrainedCell(folder, runs, digits_folder, labels_file or folder / "labels.parquet", model, device, threads=1)
