"""The table behind figure 25: accuracies and geometry of networks that differ in width alone, by their size."""

import numpy as np
import pandas as pd

from latentgen import summary
from latentgen.models import OUTPUT
from latentgen.numbers import models
from latentgen.numbers.epochs import best_and_last
from latentgen.numbers.results import Results
from latentgen.numbers.tidy import undefined_kept
from latentgen.summary import RUN, RUNS
from latentgen.summary.descent import SWEEP, dips, sweep_accuracies

#: Columns of the table behind the figure.
COLUMNS = [
    *[*SWEEP, "model", "parameters", "measure", "choice", "mean", "low", "high", "n", "n_runs", *RUNS],
    *["first_epoch", "last_epoch", "layer", "split", "labels", "examples", "classes"],
    *["dip", "drop", "drop_low", "drop_high", "rise", "rise_low", "rise_high", "real"],
]

#: Measures in order of drawing, with the split and the labels that they are of.
MEASURES = {
    "test_best": ("test", "true"),
    "test_last": ("test", "true"),
    "train_last": ("train", "given"),
    "radius_best": ("test", "true"),
    "radius_last": ("test", "true"),
    "dimension_best": ("test", "true"),
    "dimension_last": ("test", "true"),
}


def by_size(results: Results) -> pd.DataFrame:
    """The table behind figure 25, from history and layers, and from geometry where it has the models.

    Accuracies are fractions; ``examples`` of the training set and ``classes`` are those of the data, the latter null
    where ``results.chance`` lacks the data set. Raises ``ValueError`` where no three networks of a sweep have runs,
    or a table lacks what belongs to them.
    """
    sizes = results.layers.groupby("model")["parameters"].sum()
    sweeps = {}
    for names in models.sweeps(results.models):
        run = sorted(set(names) & set(results.history["model"]), key=lambda name: sizes.get(name, 0))
        if run:
            sweeps[f"{run[0]} to {run[-1]}"] = run
    history = results.history[results.history["model"].isin([model for names in sweeps.values() for model in names])]
    if history.empty:
        raise ValueError(
            "double descent takes at least three models that differ in width alone, with runs in the history table; "
            "declare them under the configuration key 'models' and name them in an entry of 'grid'"
        )
    accuracies = sweep_accuracies(history, results.layers, sweeps)
    enough = accuracies.groupby(SWEEP)["model"].transform("nunique") >= 3
    if not enough.any():
        raise ValueError(
            "the history table holds no three models of one sweep of widths at one noise level; name them all in one "
            "entry of the configuration key 'grid'"
        )
    accuracies = accuracies[enough]
    table = _means([accuracies.assign(layer=None), _geometry(results, accuracies)])
    # Where the dip lies is that of the means; how deep it is stands in every row of its sweep.
    found = dips(accuracies)
    places = found.melt(SWEEP, ["before", "bottom", "after"], "dip", "model").assign(measure="test_last")
    table = table.merge(places, on=[*SWEEP, "model", "measure"], how="left")
    table = table.merge(found[[*SWEEP, *COLUMNS[-7:]]], on=SWEEP, how="left")
    trained = history[(history["split"] == "train") & (history["mode"] == "evaluated")]
    trained = trained.groupby(SWEEP[:3], as_index=False)["n"].max().rename(columns={"n": "examples"})
    table = table.merge(trained, on=SWEEP[:3])
    table["classes"] = (1 / table["dataset"].map(results.chance)).round().astype("Int64")
    table = table.astype({"layer": "string", "dip": "string"})
    order = {measure: place for place, measure in enumerate(MEASURES)}
    table = table.sort_values(
        [*SWEEP, "measure", "parameters"], key=lambda column: column.map(order) if column.name == "measure" else column
    )
    # Data sets and kinds of noise come in the order of the configuration.
    return history[SWEEP[:2]].drop_duplicates().merge(table, on=SWEEP[:2])[COLUMNS]


def _geometry(results: Results, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Radius and dimension of the last probed layer in the view test, at the best and at the last epoch that has them.

    Columns are those of ``accuracies`` and ``layer``. An undefined value is infinite: a mean over runs must not leave
    it out unseen.
    """
    runs = accuracies[["sweep", "parameters", *RUN]].drop_duplicates()
    rows = results.geometry
    rows = undefined_kept(rows[(rows["view"] == "test") & (rows["layer"] != OUTPUT)])
    rows = rows[rows["metric"].isin(["radius", "dimension"])].merge(runs, on=RUN)
    rows = rows[rows["depth"] == rows.groupby(["dataset", "model"])["depth"].transform("max")]
    if rows.empty:
        return rows
    rows = rows.merge(best_and_last(rows, results), on=[*RUN, "epoch"])
    at = rows["at"].str.removesuffix(" epoch")
    rows = rows.assign(measure=rows["metric"] + "_" + at, choice=at.map({"best": "oracle", "last": "fixed"}))
    return rows[[*accuracies.columns, "layer"]]


def _means(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Means over data seeds of the rows of all ``parts``, and what else the table says of them; only finite ones."""
    rows = pd.concat([part for part in parts if not part.empty], ignore_index=True)
    by = [*SWEEP, "model", "parameters", "measure"]
    said = {"choice": ("choice", "first"), "layer": ("layer", "first")}
    said |= {"first_epoch": ("epoch", "min"), "last_epoch": ("epoch", "max")}
    table = summary.over_seeds(rows, by).merge(rows.groupby(by, as_index=False).agg(**said), on=by)
    table = table[np.isfinite(table["mean"])]
    splits, labels = zip(*table["measure"].map(MEASURES), strict=True)
    return table.assign(split=splits, labels=labels)
