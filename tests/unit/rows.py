"""Rows of tables, written by hand for one grid point."""

import pandas as pd

POINT = {"dataset": "digits", "model": "mlp", "noise": "uniform", "level": 0.6}


def curve(rows, **columns):
    """Rows of (data seed, model seed, epoch, value) at one grid point."""
    table = pd.DataFrame(rows, columns=["data_seed", "model_seed", "epoch", "value"])
    return table.assign(**POINT, **columns)


def probe_rows(rows, *, split="test", labels="true", probe="masc"):
    """Rows of (data seed, model seed, epoch, depth, value); layers are called layer0, layer1, ..."""
    table = pd.DataFrame(rows, columns=["data_seed", "model_seed", "epoch", "depth", "value"])
    layer = "layer" + table["depth"].astype(str)
    fixed = {"fit_labels": "given", "batch_norm": "running", "split": split, "labels": labels, "metric": "accuracy"}
    return table.assign(**POINT, layer=layer, probe=probe, **fixed)


def history_rows(rows, *, split="test", labels="true"):
    return curve(rows, split=split, labels=labels, mode="evaluated", metric="accuracy")
