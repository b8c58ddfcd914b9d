"""Curves over epochs of runs that stop at different ones."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from latentgen.summary.intervals import SEEDS, check_values


def carry_forward(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Put the runs of each curve on common epochs; a run that has stopped keeps its last value, marked.

    An epoch is kept if every run of the curve either has a value there or had stopped before. So an epoch
    that exists only because one run stopped there, between two saved epochs of the others, is not an epoch of
    the curve (keeping it would average over another set of runs than its neighbours do, and draw a zig-zag):
    that run's last value enters at the next common epoch. The last epoch of the longest run is always common,
    and there every run stands with its final value. One run alone keeps all its epochs.

    Parameters
    ----------
    frame : DataFrame
        Columns ``by``, ``data_seed``, ``model_seed``, ``epoch`` and ``value``; one row per run and epoch.
    by : sequence of str
        Columns that name one curve, without nulls: the grid point, and layer and probe where there are
        several.

    Returns
    -------
    DataFrame
        Columns ``by``, ``data_seed``, ``model_seed``, ``epoch``, ``value`` and ``carried`` (bool), sorted.

    Raises
    ------
    ValueError
        A null value, or two rows for one run and epoch.
    """
    by = list(by)
    check_values(frame, [*by, *SEEDS, "epoch"])
    wide = frame.pivot(index=[*by, *SEEDS], columns="epoch", values="value").sort_index(axis=1)
    measured = wide.notna()
    last = measured.columns.to_numpy()[::-1][np.argmax(measured.to_numpy()[:, ::-1], axis=1)]
    skipped = ~measured & (wide.columns.to_numpy() <= last[:, None])
    common = measured.groupby(level=by).transform("any") & ~skipped.groupby(level=by).transform("any")
    # Cells are chosen before they become rows: runs that stop at many different epochs make a wide frame.
    keep = common.to_numpy()
    of_run, of_epoch = np.nonzero(keep)
    table = wide.index.take(of_run).to_frame(index=False)
    table["epoch"] = wide.columns.to_numpy()[of_epoch]
    table["value"] = wide.ffill(axis=1).to_numpy()[keep]
    table["carried"] = ~measured.to_numpy()[keep]
    return table
