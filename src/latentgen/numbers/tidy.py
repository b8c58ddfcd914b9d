"""What tables behind figures share, whatever their rows are: order, and undefined values."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from latentgen.numbers.averages import PAIR
from latentgen.summary import GRID_POINT


def in_order(
    table: pd.DataFrame,
    like: pd.DataFrame,
    by: Sequence[str],
    names: Mapping[str, Iterable[str]],
    *,
    na_position: str = "last",
) -> pd.DataFrame:
    """Rows of ``table`` sorted within each grid point; rows of panels come in the order of ``like``.

    Parameters
    ----------
    like : the table that was read, whose order is that of the configuration
    by : columns to sort by; those in ``names`` are sorted in the order of these, others by their values
    na_position : where null and what ``names`` lacks come, 'first' or 'last'
    """
    ranks = {column: {name: place for place, name in enumerate(order)} for column, order in names.items()}
    table = table.sort_values(
        [*GRID_POINT, *by],
        key=lambda column: column.map(ranks[column.name]) if column.name in ranks else column,
        na_position=na_position,
    )
    return like[PAIR].drop_duplicates().merge(table, on=PAIR)


def undefined_kept(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that have examples, infinite where undefined: a mean over runs must not leave those out unseen."""
    rows = rows[rows["n"] > 0]
    return rows.assign(value=rows["value"].fillna(np.inf))
