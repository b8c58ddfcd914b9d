"""Figures drawn from the tidy tables; the numbers behind each are returned with it and saved beside it.

A figure is declared by the analysis that it shows (`latentgen.figure`), and drawn by a function ``draw(name, results)``
of a module that is loaded on first use, because these modules import Matplotlib and seaborn.
"""

import importlib
import os
from typing import TYPE_CHECKING

from latentgen import lazy
from latentgen.figures.catalogue import FIGURES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from latentgen.figures.results import Results

#: Raised by hand when a change alters a figure, or a statistic of `latentgen.summary`.
VERSION = 6

__all__ = ["FIGURES", "Results", "draw", "save"]

__getattr__, __dir__ = lazy.names(__name__, {"Results": "results"})


def draw(name: str, results: "Results") -> tuple["Figure", "pd.DataFrame"]:
    """Draw the figure ``name``, a key of `FIGURES`; docs/figures.md says what each shows.

    Returns
    -------
    fig : matplotlib.figure.Figure
        At most 7 inches wide.
    table : DataFrame
        The numbers that are drawn, with the columns that docs/figures.md lists.

    Raises
    ------
    ValueError
        Unknown ``name``, or the tables lack what the figure shows.
    """
    if name not in FIGURES:
        raise ValueError(f"figure {name!r} is unknown; there are {', '.join(FIGURES)}")
    from latentgen.figures import style

    with style.look():
        return importlib.import_module(FIGURES[name].module).draw(name, results)


def save(fig: "Figure", table: "pd.DataFrame", stem: str | os.PathLike, note: str = "") -> None:
    """Write ``stem`` + .pdf, .png (200 dpi), .svg, and the numbers behind them as .parquet and .csv.

    ``note`` is a sentence that is added below the page. Each file is whole or absent, and equal figures and tables give
    equal bytes. Raises ``OSError`` when the folder cannot be written.
    """
    from latentgen.figures import foot, style

    style.save(fig, table, stem, foot.below(fig, note) if note else None)
