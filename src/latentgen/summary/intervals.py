"""Means with intervals over data seeds, and paired differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from latentgen.grid.copies import FEWEST

#: Columns that name a grid point, those that tell its runs apart, and both together.
GRID_POINT = ["dataset", "model", "noise", "level"]
SEEDS = ["data_seed", "model_seed"]
RUN = [*GRID_POINT, *SEEDS]

#: Two-sided confidence of every interval.
CONFIDENCE = 0.95

#: Columns with the values of data seeds that are too few (`FEWEST`) for an interval to be shown.
RUNS = [f"run{place}" for place in range(1, FEWEST)]


class Interval(NamedTuple):
    """A mean with its two-sided 95 % Student t interval; ``low`` and ``high`` are NaN where ``n`` is 1."""

    mean: float
    low: float
    high: float
    n: int


def interval(values: ArrayLike) -> Interval:
    """Mean and 95 % Student t interval of independent values, one per data seed.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        Model seeds of one data seed are to be averaged beforehand (`over_seeds` does so).

    Returns
    -------
    Interval
        ``mean -/+ t(0.975, n - 1) s / sqrt(n)`` with the sample standard deviation ``s`` (n - 1 in its
        denominator; Student 1908). One value has no spread: its bounds are NaN.

    Raises
    ------
    ValueError
        No values, not one-dimensional, or a value that is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"an interval needs a list of one or more finite values, got {values!r}")
    mean, n = float(values.mean()), values.size
    half = float(half_width(values.std(ddof=1), n)) if n > 1 else np.nan
    return Interval(mean, mean - half, mean + half, n)


def over_seeds(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean and 95 % Student t interval over data seeds, for every combination of ``by``.

    Parameters
    ----------
    frame : DataFrame
        Columns ``by``, ``data_seed``, ``model_seed``, ``value`` and, after `carry_forward`, ``carried``.
        One row per run and combination of ``by``.
    by : sequence of str
        Columns without nulls.

    Returns
    -------
    DataFrame
        Columns ``by``, ``mean``, ``low``, ``high`` (float64; bounds null where n = 1), ``n`` (data seeds), ``n_runs``
        (data seeds x model seeds) and `RUNS` (float64; where n is 2 or 3, the values of the data seeds in their order,
        else null); where ``frame`` has ``carried`` also ``n_measured`` (runs really measured there) and ``carried``
        (any run carried forward). Sorted by ``by``.

    Raises
    ------
    ValueError
        A null value, or two rows for one run.
    """
    by = list(by)
    check_values(frame, [*by, *SEEDS])
    per_seed = frame.groupby([*by, "data_seed"], as_index=False)["value"].mean()
    grouped = per_seed.groupby(by)["value"]
    table = grouped.agg(mean="mean", std="std", n="size")
    # One value has a null standard deviation, which makes its bounds null.
    half = half_width(table["std"], table["n"])
    table = pd.DataFrame(
        {"mean": table["mean"], "low": table["mean"] - half, "high": table["mean"] + half, "n": table["n"]}
    )
    table["n_runs"] = frame.groupby(by).size()
    table[RUNS] = _of_few(per_seed["value"].to_numpy(), table["n"].to_numpy())
    if "carried" in frame:
        carried = frame.groupby(by)["carried"].sum()
        table["n_measured"] = table["n_runs"] - carried
        table["carried"] = carried > 0
    return table.reset_index()


def _of_few(values: np.ndarray, n: np.ndarray) -> np.ndarray:
    """(len(n), FEWEST - 1): values of the groups of more than one that are too few; ``values`` has group by group."""
    place = (np.cumsum(n) - n)[:, None] + np.arange(FEWEST - 1)
    there = (n[:, None] > 1) & (n[:, None] < FEWEST) & (np.arange(FEWEST - 1) < n[:, None])
    found = np.full(there.shape, np.nan)
    found[there] = values[place[there]]
    return found


def difference(minuend: pd.DataFrame, subtrahend: pd.DataFrame, on: Sequence[str]) -> pd.DataFrame:
    """Paired differences of ``value``, minuend - subtrahend, of the rows that both frames have.

    ``on`` names the columns that identify a row in both (run, epoch, layer, ...) and that the result has,
    with ``value``. Raises ``ValueError`` (``pandas.errors.MergeError``) where they do not identify one row.
    """
    on = list(on)
    both = minuend.merge(subtrahend, on=on, suffixes=("", "_subtrahend"), validate="one_to_one")
    return both[on].assign(value=both["value"] - both["value_subtrahend"])


def half_width(std: ArrayLike, n: ArrayLike) -> np.ndarray:
    """Half the width of the interval of a mean of ``n`` values with sample standard deviation ``std``."""
    return stdtrit(np.maximum(n - 1, 1), (1 + CONFIDENCE) / 2) * std / np.sqrt(n)


def check_values(frame: pd.DataFrame, key: list[str]) -> None:
    """Raise ``ValueError`` where a value is null or two rows share ``key``."""
    if frame["value"].isna().any():
        first = frame.loc[frame["value"].isna(), key].iloc[0].to_dict()
        raise ValueError(f"no value at {first}: a mean over runs would silently leave it out")
    twice = frame.duplicated(key)
    if twice.any():
        raise ValueError(f"two rows for {frame.loc[twice, key].iloc[0].to_dict()}")
