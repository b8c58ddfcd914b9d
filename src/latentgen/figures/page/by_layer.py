"""Figures over epochs with a panel for each of a few layers: rows of measures for each grid point."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures.page import facets, lines
from latentgen.figures.page.lines import Curve
from latentgen.figures.page.pages import Panel, Row, compose
from latentgen.numbers.epochs import BEST

_HEIGHT = 0.95


class Measure(NamedTuple):
    """One row of panels of a grid point.

    Parameters
    ----------
    label : of the y axis, one or two lines of text
    curves : of some rows of the table behind the figure
    axis : sets up the y axis of all panels of the row, before anything is drawn, from their rows
    """

    label: str
    curves: Callable[[pd.DataFrame], list[Curve]]
    axis: Callable[[pd.DataFrame], Callable[[Axes], None]]


def compose_layers(table: pd.DataFrame, measures: Mapping[str, Measure], legend: Sequence[Line2D]) -> list[Figure]:
    """Pages of grid points with a row of panels for each measure that they have.

    Parameters
    ----------
    table : behind the figure, with columns ``line`` (names of measures), ``layer``, ``depth``, ``epoch``, ``n`` and
        `latentgen.numbers.epochs.BEST`; grid points in the order in which they are drawn
    legend : handles, to which that of the best epoch is added
    """
    n, rows = facets.numbers(table), []
    for (*pair, level), block in facets.points(table):
        layers = list(block.sort_values("depth", na_position="first")["layer"].unique())
        heading = f"{facets.heading(pair)}, level {level:g}"
        for name, measure in measures.items():
            of_measure = block[block["line"] == name]
            if of_measure.empty:
                continue
            panels = _panels(measure, of_measure, layers, int(block["epoch"].max()), tuple(block[BEST].iloc[0]))
            if heading:
                several = n(block)
                titles = [layer if several is None else f"{layer}, n = {facets.spanned(several)}" for layer in layers]
                panels = [panel._replace(title=title) for panel, title in zip(panels, titles, strict=True)]
            rows.append(Row(panels, _HEIGHT, measure.label, heading, joined=not heading))
            heading = ""
    return compose(rows, [*legend, lines.BEST_EPOCH])


def _panels(
    measure: Measure, rows: pd.DataFrame, layers: Sequence[str], last: int, best: tuple[int, int]
) -> list[Panel]:
    axis = measure.axis(rows)
    return [
        Panel(lines.over_epochs(measure.curves(rows[rows["layer"] == layer]), axis, last, best=best), x_label="epoch")
        for layer in layers
    ]
