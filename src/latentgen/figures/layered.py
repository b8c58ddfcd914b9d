"""Panels over epochs, one for each of a few layers: lines, where runs stopped, and the networks' best epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from latentgen.figures import layout, panels, style
from latentgen.figures.averages import PAIR
from latentgen.summary import GRID_POINT

#: Most layers of one line of panels.
MOST = 5

#: Height of a panel in inches.
HEIGHT = 1.0

#: Columns with the range, over runs, of the networks' best epochs, and what the line or strip at them marks.
BEST = ["first_best_epoch", "last_best_epoch"]
BEST_EPOCH = "the measured epoch of the network's highest test accuracy, in each run (an oracle: chosen on test data)"

# Sizes in inches.
_LEFT, _LINE, _BETWEEN, _XLABEL = 0.55, 0.125, 0.1, 0.32

_CURVE = {"linewidth": 0.9, "markersize": 2.6, "markeredgewidth": 0, "zorder": 2}
_BEST = {"color": "0.35", "linewidth": 0.6, "zorder": 1}
_STOPS = {"linestyle": "", "marker": "v", "markersize": 2.4, "markeredgewidth": 0, "color": "black"}

# Decades of a symmetric axis that are logarithmic, besides the one that its largest value has begun.
_DECADES = 2


class Curve(NamedTuple):
    """One line: ``points`` with columns ``epoch, mean, low, high, n_measured, carried``, in order of epochs.

    ``marked`` : whether every point has a marker, not just a few
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
    table : behind the figure, with columns ``line`` (names of measures), ``layer``, ``epoch``, ``n`` and `BEST`;
        grid points and layers in the order in which they are drawn
    measures : by name, from the top down
    legend : handles, to which that of the best epoch is added
    numbers : text over the panels of a layer, from the rows of that layer
    """
    several_n = table["n"].nunique() > 1
    columns = table.groupby(PAIR)["layer"].nunique().max()
    texts = max(len(measure.label.splitlines()) for measure in measures.values())
    names = max(len(layout.named(pair, HEIGHT)) for pair, _ in table.groupby(PAIR))
    above = 0.1 + (2 + (numbers is not None) + several_n) * _LINE
    lines = []
    for (*pair, level), block in table.groupby(GRID_POINT, sort=False):
        layers = list(block["layer"].unique())
        shown = [(measure, block[block["line"] == name]) for name, measure in measures.items()]
        shown = [(measure, rows) for measure, rows in shown if not rows.empty]
        for k, (measure, rows) in enumerate(shown):
            top, bottom, axis = k == 0, k == len(shown) - 1, measure.axis(rows)
            label = "\n".join([*(layout.named(pair, HEIGHT) if top else []), measure.label])
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
    fig, placed = layout.page(lines, [*legend, best], footer, left=_LEFT + (names + texts - 1) * _LINE)
    for panel, ax in (found for line in placed for found in line):
        _fill(ax, panel)
    return fig


def _fill(ax: Axes, panel: _Panel) -> None:
    style.epoch_axis(ax, panel.last)
    panel.axis(ax)
    _lines(ax, panel.curves)
    ax.axvspan(*panel.best, color=_BEST["color"], alpha=0.1, linewidth=0, zorder=0)
    for epoch in sorted(set(panel.best)):
        ax.axvline(epoch, **_BEST)
    ax.tick_params(labelleft=panel.label is not None, labelbottom=panel.bottom)
    if panel.bottom:
        ax.set_xlabel("epoch", labelpad=1)
    if panel.title:
        ax.set_title(panel.title, pad=3, linespacing=1.2)
    if panel.label:
        ax.set_ylabel(panel.label, labelpad=2, linespacing=1.2)


def _lines(ax: Axes, curves: Sequence[Curve]) -> None:
    stops = set()
    for turn, (points, look, marked) in enumerate(curves):
        x, mean = points["epoch"].to_numpy(), points["mean"].to_numpy()
        look = {**_CURVE, **look}
        ax.fill_between(x, points["low"], points["high"], color=look["color"], alpha=0.13, linewidth=0, zorder=1)
        every = range(len(x)) if marked else style.marked(ax, x, turn, len(curves), 2)
        whole = int((~points["carried"]).sum())
        ax.plot(x[:whole], mean[:whole], **look, markevery=[k for k in every if k < whole])
        if whole < len(x):
            start = max(whole - 1, 0)
            thin = {**look, "linewidth": 0.5 * look["linewidth"], "markersize": 0.75 * look["markersize"]}
            ax.plot(x[start:], mean[start:], **thin, markevery=[k - start for k in every if k >= whole])
        stops |= set(x[(points["n_measured"].diff(-1) > 0).to_numpy()])
    if stops:
        ax.plot(sorted(stops), np.full(len(stops), 0.03), transform=ax.get_xaxis_transform(), **_STOPS)


def log_axis(points: pd.DataFrame, marks: Sequence[float] = ()) -> Callable[[Axes], None]:
    """Logarithmic axis that holds the means and ``marks``, all positive.

    Intervals count up to half of what those span, so that two seeds do not flatten every line.
    """
    means = np.log10([*points["mean"], *marks])
    low, high = means.min(), means.max()
    room = max((high - low) / 2, 0.15)
    bounds = np.log10(points[["low", "high"]])
    # Of bounds that are null, as those of one seed are, the smaller and the larger is the mean.
    low, high = max(low - room, min(low, bounds["low"].min())), min(high + room, max(high, bounds["high"].max()))
    margin = 0.06 * (high - low) + 0.03
    limits = 10 ** (low - margin), 10 ** (high + margin)

    def dress(ax: Axes) -> None:
        ax.set_yscale("log")
        ax.set_ylim(limits)
        for steps in ((1,), (1, 3), (1, 2, 5)):
            ticks = LogLocator(subs=steps, numticks=100).tick_values(*limits)
            ticks = [tick for tick in ticks if limits[0] <= tick <= limits[1]]
            if len(ticks) > 1:
                break
        _ticks(ax, ticks[:: -(-len(ticks) // 5)])

    return dress


def symmetric_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    """Axis symmetric about zero, logarithmic but between its ticks beside zero, where it is linear.

    It holds all means, and intervals up to three times the largest of them.
    """
    largest = points["mean"].abs().max() or 1.0
    bounds = points[["low", "high"]].abs().max(axis=None)
    limit = 1.3 * np.fmax(largest, np.minimum(3 * largest, bounds))
    exponent = int(np.floor(np.log10(largest)))

    def dress(ax: Axes) -> None:
        ax.set_yscale("symlog", linthresh=10.0 ** (exponent - _DECADES), linscale=0.9)
        ax.set_ylim(-limit, limit)
        decades = [10.0**k for k in range(exponent - _DECADES, exponent + 1)]
        _ticks(ax, [*(-decade for decade in reversed(decades)), 0.0, *decades])
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=1)

    return dress


def cosine_axis(_points: pd.DataFrame) -> Callable[[Axes], None]:
    """Axis from -1 to 1, with a line at zero."""

    def dress(ax: Axes) -> None:
        ax.set_ylim(-1.06, 1.06)
        ax.set_yticks([-1, -0.5, 0, 0.5, 1])
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=1)

    return dress


def _ticks(ax: Axes, ticks: Sequence[float]) -> None:
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_major_formatter(lambda tick, _: _power(tick))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())


def _power(value: float) -> str:
    """``value`` in powers of ten, as 3 x 10^-4 typeset."""
    if value == 0:
        return "0"
    digit, exponent = f"{value:.0e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    digit = {"1": "", "-1": "-"}.get(digit, rf"{digit}{{\cdot}}")
    return f"${digit}{power}$"
