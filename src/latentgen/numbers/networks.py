"""The tables behind figures 12 and 13: accuracies of networks over training, and with dropout and without."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from latentgen import summary
from latentgen.numbers import averages
from latentgen.numbers.models import dropout_pairs
from latentgen.numbers.results import Results
from latentgen.summary import GRID_POINT, selection

#: Split, labels and mode of each accuracy of figure 12.
TRAINING = (
    ("train", "given", "running"),
    ("train", "given", "evaluated"),
    ("train", "true", "evaluated"),
    ("test", "true", "evaluated"),
)


def training(results: Results) -> pd.DataFrame:
    """Accuracies of the networks over training; raises ``ValueError`` where one of `TRAINING` is missing."""
    history = results.history
    parts = [
        averages.networks(history, history, split=split, labels=labels, mode=mode).assign(
            fit_labels=None, split=split, labels=labels, mode=mode, metric="accuracy"
        )
        for split, labels, mode in TRAINING
    ]
    return averages.tidy(parts, history, ["mode"])


def dropout(results: Results) -> pd.DataFrame:
    """Accuracies of networks with dropout and without, and of the best probe on their last layer.

    Raises ``ValueError`` where there are no two to compare.
    """
    parts = []
    for pair in dropout_pairs(results.models):
        both = results.probes[results.probes["model"].isin(pair)]
        for _, probes in both.groupby(["dataset", "noise"], sort=False):
            if probes["model"].nunique() < 2:
                continue
            rows = _best_on_last_layer(probes, results.settings)
            key = [*GRID_POINT, "layer", "depth"]
            found = [averages.over_epochs(rows, key).assign(series=rows["probe"].iloc[0], fit_labels="given")]
            found.append(averages.networks(results.history, rows))
            parts += [part.assign(pair=" / ".join(pair)) for part in found]
    if not parts:
        raise ValueError(
            "the probes table holds no data set and noise kind with both models of a pair that differs in dropout "
            "alone; list both models in the same entry of the configuration key 'grid'"
        )
    rates = {name: declared["options"].get("dropout", 0.0) for name, declared in results.models.items()}
    parts = [part.assign(dropout=part["model"].map(rates)) for part in parts]
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, results.probes, ["pair", "dropout"])


def _best_on_last_layer(probes: pd.DataFrame, settings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Test accuracies on the last layer of the probe that is best there at the end, on the mean over grid points.

    Candidates are fitted on the given labels, with running statistics in batch normalisation.
    """
    plain = [
        name for name, probe in settings.items() if (probe["fit_labels"], probe["batch_norm"]) == ("given", "running")
    ]
    rows = summary.probe_accuracy(probes[probes["probe"].isin(plain)])
    rows = rows[rows.groupby("probe")["model"].transform("nunique") == 2]
    if rows.empty:
        raise ValueError(
            f"of the models {', '.join(probes['model'].unique())} the probes table holds no test accuracy of a common "
            "probe that is fitted on given labels; add one to both under the configuration key 'probes'"
        )
    rows = selection.last_layer(rows)
    final = selection.at_end(rows).groupby(["probe", *GRID_POINT])["value"].mean().groupby("probe").mean()
    return rows[rows["probe"] == final.idxmax()]
