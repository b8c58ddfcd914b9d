"""A page of panels whose axes are not epochs: lines of panels, a legend for all of them, and a footer."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures import axes, foot, panels, spread, style
from latentgen.figures.averages import PAIR
from latentgen.figures.foot import LINE

# Sizes in inches.
_GAP, _CLOSE, _RIGHT, _WIDEST = 0.3, 0.17, 0.12, 2.6


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


def in_lines(items: Sequence[Any], columns: int) -> Iterator[Sequence[Any]]:
    """The items, levels as a rule, ``columns`` to a line."""
    for start in range(0, len(items), columns):
        yield items[start : start + columns]


def page(
    lines: Sequence[Line], legend: Sequence[Line2D], footer: Sequence[str], *, left: float, together: int = 1
) -> tuple[Figure, list[list[tuple[Any, Axes]]]]:
    """Figure with empty panels.

    Parameters
    ----------
    lines : from the top down
    legend : handles of the legend under the panels
    footer : sentences under the legend
    left : room for the labels of the y axes, in inches
    together : so many panels beside one another share the labels of a y axis, and stand close

    Returns
    -------
    fig : matplotlib.figure.Figure
        At most 7 inches wide.
    panels : list of list of (cell, Axes)
        For every line its panels, those of None left out.
    """
    columns = max(len(line.cells) for line in lines)
    width = panel_width(columns, left, together)
    total = left + columns * width + _gaps(columns, together) + _RIGHT
    below = foot.Foot(legend, footer, total, foot.beside([handle.get_label() for handle in legend], total))
    tall = sum(line.above + line.height + line.below for line in lines) + below.height
    fig = style.blank(total, tall)
    panels, top = [], tall
    for line in lines:
        base = top - line.above - line.height
        size = width / total, line.height / tall
        panels.append([])
        for j, cell in enumerate(line.cells):
            if cell is not None:
                x = left + j * width + _gaps(j + 1, together)
                panels[-1].append((cell, fig.add_axes((x / total, base / tall, *size))))
        top = base - line.below
    below.draw(fig)
    return fig, panels


def panel_width(columns: int, left: float, together: int = 1) -> float:
    """Width of each of ``columns`` panels, in inches."""
    return min(_WIDEST, (style.PAGE_WIDTH - left - _RIGHT - _gaps(columns, together)) / columns)


def _gaps(columns: int, together: int) -> float:
    """Width of all gaps between so many panels, in inches."""
    wide = (columns - 1) // together
    return wide * _GAP + (columns - 1 - wide) * _CLOSE


def dress(ax: Axes, title: str | None, label: str | None, x_label: str | None) -> None:
    """Title of a panel and labels of its axes, but for those that are None."""
    if title is not None:
        ax.set_title(title, pad=3, linespacing=1.2)
    if label is not None:
        ax.set_ylabel(label, labelpad=2, linespacing=1.2)
    if x_label is not None:
        ax.set_xlabel(x_label, labelpad=1)


def names(table: pd.DataFrame, height: float) -> tuple[dict[tuple[str, ...], str], float]:
    """What each row of panels ``height`` inches high is called, by `PAIR`, and the room in inches that all have."""
    found = {pair: named(pair, height) for pair, _ in table.groupby(PAIR, sort=False)}
    return {pair: "\n".join(text) for pair, text in found.items()}, LINE * max(map(len, found.values()))


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
    """Limits of an axis of accuracies, in percent, that holds means and runs (fractions).

    Intervals count up to half of what the means span, so that marks stay apart; longer ones are cut.
    """
    marks = spread.marks(points)
    low, high = axes.held(marks.min(), marks.max(), spread.bounds(points), 0.01)
    low, high = max(low, 0.0), min(high, 1.0)
    margin = 0.05 * (high - low) + 0.003
    return 100 * (low - margin), 100 * (high + margin)


def seeds(table: pd.DataFrame, marks: str, runs: str) -> list[str]:
    """Sentences on the numbers of data seeds and the intervals, drawn as ``marks``, or as ``runs`` where few."""
    intervals = f"{marks}: 95\xa0% Student t interval, cut where it is long"
    return panels.over_seeds(table, spread.sentence(table["n"], intervals, runs))
