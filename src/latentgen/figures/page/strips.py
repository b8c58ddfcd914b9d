"""Figures of accuracies over epochs: strips of panels below one another, a level each, for each block of a figure."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures.page import axes, facets, lines
from latentgen.figures.page.lines import Curve
from latentgen.figures.page.pages import Legend, Panel, Row, compose

#: Height of a panel in inches, alone in its block and among others.
_ALONE, _AMONG = 1.15, 0.95


class Strip(NamedTuple):
    """Panels of one measure.

    Parameters
    ----------
    label : of the y axis that all its panels share
    curves : of all levels, in the order of drawing; fractions
    reference : grey line, a fraction
    signed : whether values are differences
    legend : to its right
    scaled_by : points that set the scale of the y axis; by default all
    more : draws what else a panel has, from its points
    """

    label: str
    curves: Sequence[Curve]
    reference: float | None = None
    signed: bool = False
    legend: Legend | None = None
    scaled_by: pd.DataFrame | None = None
    more: Callable[[Axes, pd.DataFrame], None] | None = None


def compose_strips(
    table: pd.DataFrame, blocks: Iterable[tuple[str, Sequence[Strip]]], legend: Sequence[Line2D]
) -> list[Figure]:
    """Pages of blocks, each a heading and its strips.

    ``table`` : behind the figure
    """
    rows: list[Row] = []
    for heading, strips in blocks:
        height = _ALONE if len(strips) == 1 else _AMONG
        for shown in facets.levels(pd.concat([curve.points for strip in strips for curve in strip.curves])):
            found = [(strip, _panels(table, strip, shown)) for strip in strips]
            found = [(strip, panels) for strip, panels in found if any(panels)]
            for place, (strip, panels) in enumerate(found):
                if place:
                    panels = [panel and panel._replace(title="") for panel in panels]
                rows.append(Row(panels, height, strip.label, "" if place else heading, strip.legend, joined=place > 0))
    return compose(rows, legend, widths=facets.widths(table))


def _panels(table: pd.DataFrame, strip: Strip, shown: Sequence[float]) -> list[Panel | None]:
    points = pd.concat([curve.points for curve in strip.curves], ignore_index=True)
    scaled_by = points if strip.scaled_by is None else strip.scaled_by
    axis = axes.percent_axis(scaled_by, reference=strip.reference, signed=strip.signed)
    n, last = facets.numbers(table), int(points["epoch"].max())

    def panel(level: float, of_level: pd.DataFrame) -> Panel:
        curves = lines.over_epochs([curve.of(level=level) for curve in strip.curves], axis, last, scale=100)

        def fill(ax: Axes) -> None:
            curves(ax)
            if strip.more is not None:
                strip.more(ax, of_level)

        return Panel(fill, facets.title(level, n(of_level)), "epoch")

    return facets.beside(points, shown, panel)
