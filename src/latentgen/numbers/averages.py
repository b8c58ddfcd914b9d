"""The numbers behind figures over epochs: means over data seeds, runs that have stopped carried forward."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from latentgen import summary
from latentgen.summary import GRID_POINT, RUN, RUNS
from latentgen.summary.portions import portions
from latentgen.summary.selection import where

#: Columns that name a row of panels.
PAIR = GRID_POINT[:3]

#: Most layers of panels beside one another.
FEW = 5

#: Columns of the tables behind the figures, after those of the grid point; each figure may add its own after ``depth``.
CURVE = ["series", "layer", "depth"]
STATISTICS = ["epoch", "mean", "low", "high", "n", "n_runs", "n_measured", "carried", *RUNS]
MEASURED = ["fit_labels", "split", "labels", "metric"]


def over_epochs(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means and intervals over data seeds at the common epochs of each curve.

    Parameters
    ----------
    rows : columns ``by``, ``data_seed``, ``model_seed``, ``epoch``, ``value``
    by : columns that name a curve, without nulls, `latentgen.summary.GRID_POINT` among them

    Returns
    -------
    DataFrame
        Columns ``by`` and `STATISTICS`; see `latentgen.summary.carry_forward` and `latentgen.summary.over_seeds`.
    """
    by = [*by, "epoch"]
    means = [summary.over_seeds(summary.carry_forward(part, by[:-1]), by) for (part,) in portions(rows, whole=by[:-1])]
    return means[0] if len(means) == 1 else pd.concat(means).sort_values(by, ignore_index=True)


def networks(
    history: pd.DataFrame,
    among: pd.DataFrame,
    *,
    split: str = "test",
    labels: str = "true",
    mode: str = "evaluated",
    on: Sequence[str] = RUN,
) -> pd.DataFrame:
    """The networks' own curves, those with the same ``on`` columns as some row of ``among``.

    Raises ``ValueError`` where the history has no such accuracy of any of them.
    """
    rows = accuracies(history, split=split, labels=labels, mode=mode)
    rows = rows.merge(among[list(on)].drop_duplicates(), on=list(on))
    if rows.empty:
        raise ValueError(
            f"the history table holds no {split} accuracy of these models (labels {labels!r}, mode {mode!r})"
        )
    return over_epochs(rows, GRID_POINT).assign(series="model", layer=None, fit_labels="given")


def accuracies(history: pd.DataFrame, *, split: str, labels: str, mode: str = "evaluated") -> pd.DataFrame:
    """Accuracies of one split, kind of labels and mode, from a table with the columns of a history."""
    return where(
        history,
        (history["split"] == split)
        & (history["labels"] == labels)
        & (history["mode"] == mode)
        & (history["metric"] == "accuracy"),
    )


def probe_rows(probes: pd.DataFrame, probe: str) -> pd.DataFrame:
    """Test accuracies (true labels) of a probe; raises ``ValueError`` where there are none."""
    rows = summary.probe_accuracy(probes, probe)
    if rows.empty:
        known = ", ".join(sorted(probes["probe"].unique())) or "none"
        raise ValueError(
            f"the probes table holds no test accuracy of probe {probe!r} (it has: {known}); "
            f"add it under the configuration key 'probes'"
        )
    return rows


def tidy(parts: Sequence[pd.DataFrame], order: pd.DataFrame, extra: Sequence[str] = ()) -> pd.DataFrame:
    """The table behind a figure: ``parts`` one below the other, sorted, with all columns, ``extra`` after ``depth``.

    Rows of panels come in the order of ``order``, the table that was read, which is that of the configuration.
    """
    table = pd.concat(parts, ignore_index=True)
    table = table.reindex(columns=[*GRID_POINT, *CURVE, *extra, *STATISTICS, *MEASURED])
    # Columns that may be null throughout keep their type so.
    table = table.astype({"depth": "Int64", "layer": "string", "fit_labels": "string"})
    table = table.sort_values([*GRID_POINT, "series", "depth", *extra, "epoch"])
    return order[PAIR].drop_duplicates().merge(table, on=PAIR)


def layers(table: pd.DataFrame) -> list[str]:
    """Layers of the curves, in order of depth."""
    return list(table.dropna(subset="layer").sort_values("depth")["layer"].unique())


def few(names: Sequence[str]) -> list[str]:
    """At most `FEW` of the layers ``names``, in order of depth: evenly spread, the first and the last included."""
    places = np.unique(np.linspace(0, len(names) - 1, min(FEW, len(names))).round().astype(int))
    return [names[place] for place in places]
