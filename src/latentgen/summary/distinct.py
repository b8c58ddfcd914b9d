"""Runs that are copies of others, of which one counts.

A grid whose data seeds draw nothing is refused before it runs (`latentgen.grid.copies`). What is not known by then,
such as a network whose initialisation does not depend on its seed, and results older than that check, show in tables.
"""

import pandas as pd

from latentgen.progress import log
from latentgen.summary.intervals import GRID_POINT, RUN, SEEDS

#: Rows of the history that tell runs apart, as `latentgen.tables.read` takes them: the loss on the test examples after
#: each epoch. Accuracies are counts, which different networks share; losses of float64 are not.
TOLD_BY = [("metric", "==", "loss"), ("split", "==", "test"), ("mode", "==", "evaluated")]
COLUMNS = [*RUN, "epoch", "value"]


def copies(losses: pd.DataFrame) -> pd.DataFrame:
    """Runs whose losses are those of an earlier run of their grid point, to the last bit and at every epoch.

    Parameters
    ----------
    losses : DataFrame
        `COLUMNS` of the rows `TOLD_BY` of a history, in any order.

    Returns
    -------
    DataFrame
        Columns of the run; of equal runs all but the first, by data seed, then model seed. None without losses.
    """
    hashes = pd.util.hash_pandas_object(losses[["epoch", "value"]], index=False)
    runs = losses.assign(told=hashes).groupby(RUN, as_index=False)
    told = runs.agg(told=("told", "sum"), epochs=("told", "size"), values=("value", "nunique"))
    # Losses that never change tell nothing.
    told = told[told["values"] > 1]
    return told.loc[told.duplicated([*GRID_POINT, "told", "epochs"]), RUN].reset_index(drop=True)


def without(frame: pd.DataFrame, copied: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``frame`` that belong to none of the runs ``copied``; a table that is not of runs stays as it is."""
    if copied.empty or not set(RUN) <= set(frame):
        return frame
    there = pd.MultiIndex.from_frame(frame[RUN]).isin(pd.MultiIndex.from_frame(copied))
    return frame[~there].reset_index(drop=True)


def tell(copied: pd.DataFrame) -> None:
    """Log which runs are left out."""
    for (dataset, model, noise, level), runs in copied.groupby(GRID_POINT):
        names = ", ".join(f"data{data}-model{own}" for data, own in runs[SEEDS].itertuples(index=False))
        log.warning(
            "%s/%s/%s-%g: %s had the same losses as another run at every epoch; copies count once",
            dataset,
            model,
            noise,
            level,
            names,
        )
