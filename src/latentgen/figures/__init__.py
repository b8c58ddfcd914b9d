"""Figures drawn from the tidy tables; the numbers behind each (`latentgen.numbers`) are saved beside it.

A figure is declared in the package of its subject (`latentgen.figure`) and drawn by the function that it names there.
Its module is loaded on first use, because such modules import Matplotlib and seaborn. All are drawn with
`latentgen.figures.page`.
"""

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from latentgen import lazy
from latentgen.analysis import loaded
from latentgen.figures import catalogue
from latentgen.figures.catalogue import FIGURES

if TYPE_CHECKING:
    from latentgen.figures.page.drawing import Drawing
    from latentgen.numbers.results import Results

#: Raised by hand when a change alters a figure, a table of `latentgen.numbers`, or a statistic of `latentgen.summary`.
VERSION = 8

__all__ = ["FIGURES", "Results", "draw", "save"]

__getattr__, __dir__ = lazy.names(__name__, {"Results": ".numbers.results"})


def draw(
    name: str,
    results: "Results",
    *,
    layers: Collection[str] | None = None,
    levels: Collection[float] | None = None,
    colours: Mapping[str, str] | None = None,
) -> "Drawing":
    """Draw the figure ``name``, a key of `FIGURES`; docs/figures.md says what each shows.

    Parameters
    ----------
    results : what it is drawn from
    layers, levels : those that are drawn; by default all. A layer keeps its colour whatever is left out.
    colours : colours of lines in place of their own, by the layer, view or label in a legend: ``{"fc1": "red"}``

    Returns
    -------
    Drawing
        ``pages``, Matplotlib figures of at most 7 x 9 inches; ``table``, the numbers that are drawn, with the columns
        that docs/figures.md lists; ``caption``.

    Raises
    ------
    ValueError
        Unknown ``name``, layer, level or line, or the tables lack what the figure shows.
    """
    figure = catalogue.named(name)
    from latentgen.figures.page import style
    from latentgen.figures.page.drawing import Reader

    reader = Reader(layers, levels, colours or {})
    with style.look():
        drawing = loaded(figure.draw)(results, reader)
    reader.checked()
    return drawing.declared(figure)


def save(drawing: "Drawing", stem: str | os.PathLike, note: str = "") -> None:
    """Write the figure, the numbers behind it and its caption.

    Files are ``stem`` + .pdf, all pages; .png (200 dpi) and .svg, the first four pages below one another; .parquet and
    .csv, the numbers; .md, the caption. ``note`` is a warning that stands over each page and first in the caption. Each
    file is whole or absent, and equal figures and tables give equal bytes. Raises ``OSError`` when the folder cannot be
    written.
    """
    from latentgen.figures.page import files

    files.save(drawing, stem, note)
