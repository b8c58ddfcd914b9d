"""Rows of panels of the grid points of a table: a heading for each data set, model and noise kind, levels beside one
another."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from latentgen.figures.page.pages import Panel
from latentgen.numbers.averages import PAIR
from latentgen.summary import GRID_POINT

#: Most levels beside one another.
MOST = 6
#: Width of a column of level 0 or 1, at which nothing is memorised or nothing can be learned, beside the others.
_NARROW = 0.62


def heading(pair: Sequence[str]) -> str:
    """Name of a row of panels."""
    dataset, model, noise = pair
    return f"{dataset}, {model}, {noise} noise"


def pairs(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Data set, model and noise kind, with their rows, in the order of the table."""
    yield from table.groupby(PAIR, sort=False)


def points(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str, float], pd.DataFrame]]:
    """Data set, model, noise kind and level, with their rows, in the order of the table."""
    yield from table.groupby(GRID_POINT, sort=False)


def levels(table: pd.DataFrame, most: int = MOST) -> list[list[float]]:
    """Levels of the table, at most ``most`` to a row of panels."""
    every = sorted(table["level"].unique())
    return [every[start : start + most] for start in range(0, len(every), most)]


def widths(table: pd.DataFrame, most: int = MOST) -> list[float] | None:
    """Widths of the columns of `levels`; None where a column is not of one level in all rows of panels."""
    lines = levels(table, most)
    if len(lines) > 1 or len(lines[0]) < 3 or (table.groupby(PAIR)["level"].nunique() < len(lines[0])).any():
        return None
    return [_NARROW if level in (0.0, 1.0) else 1.0 for level in lines[0]]


def beside(
    block: pd.DataFrame, shown: Sequence[float], panel: Callable[[float, pd.DataFrame], Panel]
) -> list[Panel | None]:
    """A panel for each of the levels ``shown``, made from the level and its rows of ``block``; None without rows."""
    of_level = {level: rows for level, rows in block.groupby("level")}
    return [panel(level, of_level[level]) if level in of_level else None for level in shown]


def title(level: float, n: pd.Series | None = None) -> str:
    """Title of a panel; ``n`` : numbers of data seeds of its rows, where those differ between panels."""
    return f"level {level:g}" + ("" if n is None else f"\nn = {spanned(n)}")


def numbers(table: pd.DataFrame) -> Callable[[pd.DataFrame], pd.Series | None]:
    """What `title` takes as ``n`` of some rows of ``table``."""
    several = table["n"].nunique() > 1
    return lambda rows: rows["n"] if several else None


def spanned(n: pd.Series) -> str:
    """``3``, or ``3 to 5`` where numbers differ."""
    return f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
