"""Which epochs stand for a run: the best and the last of those at which something was measured."""

import pandas as pd

from latentgen import summary
from latentgen.numbers.results import Results
from latentgen.summary import GRID_POINT, RUN
from latentgen.summary.selection import at_end, best

#: Columns with the range, over runs, of the networks' best epochs.
BEST = ["first_best_epoch", "last_best_epoch"]


def best_and_last(rows: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The best and the last epoch of each run among those of ``rows``: columns of the run, ``at``, ``epoch``.

    The best is where the network's own test accuracy is highest, an oracle choice; of equals the earliest. Raises
    ``ValueError`` where the history lacks a run.
    """
    measured = rows[[*RUN, "epoch"]].drop_duplicates()
    own = summary.model_accuracy(results.history).merge(measured, on=[*RUN, "epoch"])
    highest = best(own, own, ["epoch"])[[*RUN, "epoch"]] if not own.empty else own[[*RUN, "epoch"]]
    lacking = len(measured[RUN].drop_duplicates()) - len(highest)
    if lacking:
        raise ValueError(
            f"the history table holds no test accuracy of the network at any measured epoch for {lacking} runs; "
            "make both tables of the same grid"
        )
    return pd.concat([highest.assign(at="best epoch"), at_end(measured).assign(at="last epoch")], ignore_index=True)


def best_ranges(epochs: pd.DataFrame) -> pd.DataFrame:
    """The columns `BEST` of each grid point; ``epochs`` : as `best_and_last` gives them."""
    highest = epochs[epochs["at"] == "best epoch"].groupby(GRID_POINT, as_index=False)["epoch"]
    return highest.agg(**dict(zip(BEST, ("min", "max"), strict=True)))
