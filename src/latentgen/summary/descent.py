"""Double descent: accuracy over a sweep of widths, and whether the dip in it is more than chance.

A dip is three networks of increasing size of which the middle one ends with a lower test accuracy than both others.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from latentgen.summary.intervals import RUN, Interval, interval
from latentgen.summary.selection import at_end, best, model_accuracy

#: What a sweep has in common: its runs differ in the model and in seeds.
SWEEP = ["dataset", "noise", "level", "sweep"]

_PLACES = ("before", "bottom", "after")

#: Fewest data seeds of which a dip is tested: one is left out, and the others are two at least.
FEWEST_SEEDS = 3


class Dip(NamedTuple):
    """A dip in accuracy over size.

    Attributes
    ----------
    places : positions, among networks of increasing size, that have the deepest dip of the mean over all data seeds
    drop, rise : how much lower the middle network is than the smaller and than the larger one, each data seed
        measuring what the others chose; all but ``n`` is NaN with fewer than `FEWEST_SEEDS` data seeds
    real : whether both intervals lie above 0; None with fewer than `FEWEST_SEEDS` data seeds
    """

    places: tuple[int, int, int]
    drop: Interval
    rise: Interval
    real: bool | None


def deepest(accuracy: ArrayLike) -> tuple[int, int, int]:
    """Positions i < j < k that have the highest min(a[i] - a[j], a[k] - a[j]); it is negative where none is a dip.

    Parameters
    ----------
    accuracy : array_like of float, shape (sizes,)
        Of networks of increasing size. Of equals the first position counts.

    Raises
    ------
    ValueError
        Fewer than three networks.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    if accuracy.ndim != 1 or len(accuracy) < 3:
        raise ValueError(f"a dip takes three networks or more, got accuracies of shape {accuracy.shape}")
    middle = range(1, len(accuracy) - 1)
    # Whatever the middle is, the highest on either side makes both differences largest.
    around = {j: (int(accuracy[:j].argmax()), j + 1 + int(accuracy[j + 1 :].argmax())) for j in middle}
    j = max(middle, key=lambda j: accuracy[list(around[j])].min() - accuracy[j])
    return around[j][0], j, around[j][1]


def dip(accuracy: ArrayLike) -> Dip:
    """The deepest dip of a sweep, with a depth that the choice of the three networks does not flatter.

    Of the deepest of all dips that noise makes, the depth is positive even where accuracy only rises. So each data seed
    is left out in turn: the mean of the others chooses the three networks, and the one that is left out measures
    ``drop`` and ``rise`` between them. Each measurement is unbiased for the networks that were chosen. The choices
    share data, so the measurements are not quite independent, and their 95 % Student t intervals are approximate: of
    simulated sweeps of nine sizes without a dip up to 4 % came out as real, and up to 9 % where accuracy falls and then
    stays level.

    Parameters
    ----------
    accuracy : array_like of float, shape (data seeds, sizes)
        Of networks of increasing size; finite.

    Raises
    ------
    ValueError
        Fewer than three networks, or an accuracy that is not finite.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    places = deepest(accuracy.mean(axis=0))
    if len(accuracy) < FEWEST_SEEDS:
        unknown = Interval(np.nan, np.nan, np.nan, len(accuracy))
        return Dip(places, unknown, unknown, None)
    drops, rises = [], []
    for seed, own in enumerate(accuracy):
        i, j, k = deepest(np.delete(accuracy, seed, axis=0).mean(axis=0))
        drops.append(own[i] - own[j])
        rises.append(own[k] - own[j])
    drop, rise = interval(drops), interval(rises)
    return Dip(places, drop, rise, drop.low > 0 and rise.low > 0)


def sweep_accuracies(history: pd.DataFrame, layers: pd.DataFrame, sweeps: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Accuracies of the runs of each sweep, with the size of their networks.

    Parameters
    ----------
    history, layers : tables with the columns of `latentgen.tables.HISTORY` and `latentgen.tables.LAYERS`
    sweeps : name → models

    Returns
    -------
    DataFrame
        Columns ``sweep``, ``parameters`` (trained weights), those of the run, ``measure``, ``choice``, ``epoch``,
        ``value`` (fraction). Measures are test_best (test examples, at the epoch of the run that is best on them, the
        earliest of equals, an oracle choice among all that the history has), test_last (test examples, at the run's
        last epoch) and train_last (training examples, given labels, there). Sorted by sweep, then size; of the models
        of a sweep, only those that have runs are there.

    Raises
    ------
    ValueError
        The layers table lacks a model that has runs.
    """
    names = pd.DataFrame([(sweep, model) for sweep, models in sweeps.items() for model in models])
    names = names.set_axis(["sweep", "model"], axis=1)
    test, train = (
        model_accuracy(history, split=split, labels=labels).merge(names, on="model")
        for split, labels in (("test", "true"), ("train", "given"))
    )
    parts = [
        best(test, test, ["epoch"]).assign(measure="test_best", choice="oracle"),
        at_end(test).assign(measure="test_last", choice="fixed"),
        at_end(train).assign(measure="train_last", choice="fixed"),
    ]
    found = pd.concat(parts, ignore_index=True)
    sizes = layers.groupby(["dataset", "model"], as_index=False)["parameters"].sum()
    found = found.merge(sizes, on=["dataset", "model"], how="left")
    if found["parameters"].isna().any():
        dataset, model = found.loc[found["parameters"].isna(), ["dataset", "model"]].iloc[0]
        raise ValueError(f"the layers table lacks the model {model!r} on {dataset!r}; make it anew from the same grid")
    columns = ["sweep", "parameters", *RUN, "measure", "choice", "epoch", "value"]
    found = found.astype({"parameters": "int64"}).sort_values(["sweep", "parameters", "measure", *RUN])
    return found[columns].reset_index(drop=True)


def dips(accuracies: pd.DataFrame) -> pd.DataFrame:
    """`dip` of every sweep: a row for each combination of `SWEEP` that has at least three models.

    Model seeds of a data seed are averaged first, and a data seed counts where it has every model of the sweep.

    Parameters
    ----------
    accuracies : as `sweep_accuracies` gives them

    Returns
    -------
    DataFrame
        Columns `SWEEP`; ``before``, ``bottom``, ``after``, the models of the dip of the mean; ``drop, drop_low,
        drop_high, rise, rise_low, rise_high`` (fractions, null with fewer than `FEWEST_SEEDS` data seeds), ``real``
        (null there too), ``n`` (data seeds).
    """
    rows = []
    for names, block in accuracies[accuracies["measure"] == "test_last"].groupby(SWEEP, sort=False):
        wide = block.groupby(["data_seed", "parameters", "model"])["value"].mean().unstack(["parameters", "model"])
        wide = wide.sort_index(axis=1).dropna()
        if wide.shape[1] < 3 or wide.empty:
            continue
        found = dip(wide.to_numpy())
        row = dict(zip(SWEEP, names, strict=True))
        for name, place in zip(_PLACES, found.places, strict=True):
            _, row[name] = wide.columns[place]
        for name in ("drop", "rise"):
            mean, low, high, n = getattr(found, name)
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high, "n": n}
        rows.append(row | {"real": found.real})
    depths = [f"{name}{suffix}" for name in ("drop", "rise") for suffix in ("", "_low", "_high")]
    found = pd.DataFrame(rows, columns=[*SWEEP, *_PLACES, *depths, "real", "n"])
    return found.astype({**dict.fromkeys(depths, "float64"), "real": "boolean"})
