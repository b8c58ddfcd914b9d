"""Panels over epochs, one for each of a few layers: lines, where runs stopped, and the networks' best epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures import layout, panels, style, views
from latentgen.figures.averages import PAIR
from latentgen.figures.foot import LINE
from latentgen.summary import GRID_POINT

#: Most layers of one line of panels.
MOST = 5

#: Height of a panel in inches.
HEIGHT = 1.0

#: Columns with the range, over runs, of the networks' best epochs.
BEST = ["first_best_epoch", "last_best_epoch"]

# Sizes in inches.
_LEFT, _BETWEEN, _XLABEL = 0.55, 0.1, 0.32

_BEST = {"color": "0.35", "linewidth": 0.6, "zorder": 1}


class Curve(NamedTuple):
    """One line: ``points`` with columns ``epoch, mean, low, high, n_measured, carried``, in order of epochs.

    Without points it leaves its place among the markers empty. ``marked`` : whether every point has a marker, not just
    a few
    """

    points: pd.DataFrame
    look: Mapping[str, Any]
    marked: bool = False


class Measure(NamedTuple):
    """One line of panels of a grid point.

    Parameters
    ----------
    label : of the y axis, one or two lines of text
    curves : of some rows of the table behind the figure
    axis : sets up the y axis of all panels of the line, before anything is drawn, from their rows
    """

    label: str
    curves: Callable[[pd.DataFrame], list[Curve]]
    axis: Callable[[pd.DataFrame], Callable[[Axes], None]]


class _Panel(NamedTuple):
    curves: Sequence[Curve]
    axis: Callable[[Axes], None]
    last: int
    best: tuple[int, int]
    title: str | None
    label: str | None
    bottom: bool


def few(layers: Sequence[str]) -> list[str]:
    """At most `MOST` of ``layers``, given in order of depth: evenly spread, the first and the last included."""
    places = np.unique(np.linspace(0, len(layers) - 1, min(MOST, len(layers))).round().astype(int))
    return [layers[place] for place in places]


def draw(
    table: pd.DataFrame,
    measures: Mapping[str, Measure],
    legend: Sequence[Line2D],
    footer: Sequence[str],
    *,
    numbers: Callable[[pd.DataFrame], str] | None = None,
) -> Figure:
    """Lines of panels of each grid point, one for each measure that it has.

    Parameters
    ----------
    table : behind the figure, with columns ``line`` (names of measures), ``layer``, ``depth``, ``epoch``, ``n`` and
        `BEST`; grid points in the order in which they are drawn
    measures : by name, from the top down
    legend : handles, to which that of the best epoch is added
    numbers : text over the panels of a layer, from the rows of that layer
    """
    several_n = table["n"].nunique() > 1
    columns = table.groupby(PAIR)["layer"].nunique().max()
    texts = max(len(measure.label.splitlines()) for measure in measures.values())
    names, room = layout.names(table, HEIGHT)
    above = 0.1 + (2 + (numbers is not None) + several_n) * LINE
    lines = []
    for (*pair, level), block in table.groupby(GRID_POINT, sort=False):
        layers = list(block.sort_values("depth", na_position="first")["layer"].unique())
        shown = [(measure, block[block["line"] == name]) for name, measure in measures.items()]
        shown = [(measure, rows) for measure, rows in shown if not rows.empty]
        for k, (measure, rows) in enumerate(shown):
            top, bottom, axis = k == 0, k == len(shown) - 1, measure.axis(rows)
            label = f"{names[tuple(pair)]}\n{measure.label}" if top else measure.label
            cells: list[_Panel | None] = []
            for layer in layers:
                title = [f"corruption {level:g}", layer]
                title += [numbers(block[block["layer"] == layer])] if numbers else []
                title += [f"n = {panels.spanned(block['n'])}"] if several_n else []
                cells.append(
                    _Panel(
                        measure.curves(rows[rows["layer"] == layer]),
                        axis,
                        int(block["epoch"].max()),
                        tuple(block[BEST].iloc[0]),
                        "\n".join(title) if top else None,
                        label if layer == layers[0] else None,
                        bottom,
                    )
                )
            cells += [None] * (columns - len(cells))
            lines.append(layout.Line(cells, HEIGHT, above if top else _BETWEEN, _XLABEL if bottom else 0.0))
    best = Line2D([], [], label="network's best epoch (oracle)", **_BEST)
    left = _LEFT + room + (texts - 1) * LINE
    fig, placed = layout.page(lines, [*legend, best], footer, left=left, together=columns)
    for panel, ax in (found for line in placed for found in line):
        _fill(ax, panel)
    return fig


def best_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """The columns `BEST` of each grid point; ``epochs`` : as `views.epochs` gives them."""
    best = epochs[epochs["at"] == "best epoch"].groupby(GRID_POINT, as_index=False)["epoch"]
    return best.agg(**dict(zip(BEST, ("min", "max"), strict=True)))


def sentences(table: pd.DataFrame) -> list[str]:
    """Sentences on data seeds, the best epoch, the axis of epochs and runs that have stopped."""
    return [
        *layout.seeds(table, "bands", "thin lines"),
        f"Vertical line, or strip from the first to the last run: {views.BEST_EPOCH}.",
        *panels.epochs(table),
    ]


def _fill(ax: Axes, panel: _Panel) -> None:
    style.epoch_axis(ax, panel.last)
    panel.axis(ax)
    _lines(ax, panel.curves)
    ax.axvspan(*panel.best, color=_BEST["color"], alpha=0.1, linewidth=0, zorder=0)
    for epoch in sorted(set(panel.best)):
        ax.axvline(epoch, **_BEST)
    ax.tick_params(labelleft=panel.label is not None, labelbottom=panel.bottom)
    layout.dress(ax, panel.title, panel.label, "epoch" if panel.bottom else None)


def _lines(ax: Axes, curves: Sequence[Curve]) -> None:
    stops = set()
    for turn, (points, look, marked) in enumerate(curves):
        if points.empty:
            continue
        x = points["epoch"].to_numpy()
        every = range(len(x)) if marked else style.marked(ax, x, turn, len(curves), 2)
        panels.trace(ax, points, {**panels.CURVE, **look}, every)
        stops |= set(x[(points["n_measured"].diff(-1) > 0).to_numpy()])
    if stops:
        ax.plot(sorted(stops), np.full(len(stops), 0.03), transform=ax.get_xaxis_transform(), **panels.STOPS)
