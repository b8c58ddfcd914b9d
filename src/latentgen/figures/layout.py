"""A page of panels whose axes are not epochs: lines of panels, a legend for all of them, and a footer."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures import panels, style

# Sizes in inches.
_GAP, _LINE, _RIGHT, _WIDEST, _HANDLE = 0.3, 0.125, 0.12, 2.6, 0.45


class Line(NamedTuple):
    """Panels beside one another.

    Parameters
    ----------
    cells : what each panel shows; None leaves its place empty
    height : of the panels, in inches
    above, below : room for titles and for the labels of the x axis, in inches
    """

    cells: Sequence[Any]
    height: float
    above: float
    below: float


def in_lines(levels: Sequence[float], columns: int) -> Iterator[Sequence[float]]:
    """The levels, ``columns`` to a line."""
    for start in range(0, len(levels), columns):
        yield levels[start : start + columns]


def page(
    lines: Sequence[Line], legend: Sequence[Line2D], footer: Sequence[str], *, left: float
) -> tuple[Figure, list[list[tuple[Any, Axes]]]]:
    """Figure with empty panels.

    Parameters
    ----------
    lines : from the top down
    legend : handles of the legend under the panels
    footer : sentences under the legend
    left : room for the labels of the y axes, in inches

    Returns
    -------
    fig : matplotlib.figure.Figure
        At most 7 inches wide.
    panels : list of list of (cell, Axes)
        For every line its panels, those of None left out.
    """
    columns = max(len(line.cells) for line in lines)
    width = panel_width(columns, left)
    total = left + columns * width + (columns - 1) * _GAP + _RIGHT
    text = style.wrap(footer, total - 0.2)
    widest = max(style.text_width(handle.get_label()) for handle in legend)
    beside = max(1, int((total - 0.2) / (_HANDLE + widest)))
    legend_height = (-(-len(legend) // beside) + 0.8) * _LINE
    bottom = (len(text) + 0.6) * _LINE
    tall = sum(line.above + line.height + line.below for line in lines) + legend_height + bottom
    fig = style.blank(total, tall)
    panels, top = [], tall
    for line in lines:
        base = top - line.above - line.height
        places = [(left + j * (width + _GAP), cell) for j, cell in enumerate(line.cells) if cell is not None]
        sizes = width / total, line.height / tall
        panels.append([(cell, fig.add_axes((x / total, base / tall, *sizes))) for x, cell in places])
        top = base - line.below
    fig.legend(
        handles=legend,
        loc="upper left",
        bbox_to_anchor=(0.1 / total, (bottom + legend_height) / tall),
        ncols=beside,
        frameon=False,
        handlelength=2.0,
        labelspacing=0.3,
        columnspacing=1.2,
        borderpad=0,
        borderaxespad=0,
    )
    for k, sentence in enumerate(text):
        fig.text(0.1 / total, (len(text) - k - 0.4) * _LINE / tall, sentence, va="center", color="0.25")
    return fig, panels


def panel_width(columns: int, left: float) -> float:
    """Width of each of ``columns`` panels, in inches."""
    return min(_WIDEST, (style.PAGE_WIDTH - left - _RIGHT - (columns - 1) * _GAP) / columns)


def named(pair: Sequence[str], height: float) -> list[str]:
    """Data set, model and noise kind, as many to a line of text as panels ``height`` inches high have room for."""
    dataset, model, noise = pair
    lines = [dataset]
    for name in (model, f"{noise} noise"):
        if style.text_width(f"{lines[-1]}, {name}") < height + 0.2:
            lines[-1] += f", {name}"
        else:
            lines.append(name)
    return lines


def limits(points: pd.DataFrame) -> tuple[float, float]:
    """Limits of an axis of accuracies, in percent, that holds the columns ``mean, low, high`` (fractions).

    Intervals count up to half of what the means span, so that marks stay apart; longer ones are cut.
    """
    low, high = points["mean"].min(), points["mean"].max()
    room = max((high - low) / 2, 0.01)
    # Of bounds that are null, as those of one seed are, the smaller and the larger is the mean.
    low = max(low - room, min(low, points["low"].min()), 0.0)
    high = min(high + room, max(high, points["high"].max()), 1.0)
    margin = 0.05 * (high - low) + 0.003
    return 100 * (low - margin), 100 * (high + margin)


def seeds(table: pd.DataFrame, marks: str) -> list[str]:
    """Sentences on the numbers of data seeds and the intervals, which are drawn as ``marks``."""
    if table["n"].max() == 1:
        text = ["One data seed (n\xa0=\xa01): no interval."]
    else:
        n = panels.spanned(table["n"]).replace(" ", "\xa0")
        text = [f"Mean over n\xa0=\xa0{n} data seeds; {marks}: 95\xa0% Student t interval, cut where it is long."]
    if (table["n_runs"] > table["n"]).any():
        text.append("Model seeds of a data seed are averaged first.")
    return text
