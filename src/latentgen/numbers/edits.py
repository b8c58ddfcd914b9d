"""The table behind figure 9: trainings that go on after the readout was replaced."""

import pandas as pd

from latentgen.numbers import averages
from latentgen.numbers.results import Results
from latentgen.summary import GRID_POINT


def continued(results: Results) -> pd.DataFrame:
    """Accuracies of trainings that went on after an edit, of their controls, and of the networks as trained.

    Raises ``ValueError`` where no training went on.
    """
    edit, history = results.edit, results.history
    if edit.empty:
        raise ValueError(
            "the edit table holds no training that went on after an edit: no run reached the epochs of the "
            "configuration key 'interventions: edit: epochs'; name earlier ones"
        )
    parts = []
    for split, labels, mode in (("test", "true", "evaluated"), ("train", "given", "running")):
        rows = averages.accuracies(edit, split=split, labels=labels, mode=mode)
        key = [*GRID_POINT, "layer", "edit_epoch", "rows", "bias"]
        series = rows["rows"].map({"none": "control"}).fillna("edit")
        edited = averages.over_epochs(rows.assign(series=series), [*key, "series"]).assign(fit_labels="given")
        own = averages.networks(history, rows, split=split, labels=labels, mode=mode)
        parts += [part.assign(split=split, labels=labels, mode=mode, metric="accuracy") for part in (edited, own)]
    parts = [part.astype({"edit_epoch": "Int64"}) if "edit_epoch" in part else part for part in parts]
    return averages.tidy(parts, edit, ["mode", "edit_epoch", "rows", "bias"])
