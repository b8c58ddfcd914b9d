"""Panels over layers: of each corruption level the best epoch beside the last, a line of panels for each measure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures import averages, layout, panels, spread, style
from latentgen.figures.averages import PAIR
from latentgen.figures.foot import LINE
from latentgen.figures.layered import HEIGHT, Curve, Measure

#: The epochs that panels beside one another show.
_AT = ("best epoch", "last epoch")

#: Most levels beside one another.
_BESIDE = 2

# Sizes in inches; _NAME is the least room of a layer's name.
_LEFT, _BETWEEN, _NAME = 0.5, 0.1, 0.105


class _Panel(NamedTuple):
    curves: Sequence[Curve]
    axis: Callable[[Axes], None]
    layers: Sequence[str]
    title: str | None
    label: str | None
    y_ticks: bool
    bottom: bool


def draw(
    table: pd.DataFrame, measures: Mapping[str, Measure], legend: Sequence[Line2D], footer: Sequence[str]
) -> Figure:
    """Lines of panels of each data set, model and noise kind, two levels to a line.

    Parameters
    ----------
    table : behind the figure, with columns ``at`` ('best epoch' or 'last epoch'), ``choice``, ``first_epoch``,
        ``last_epoch``, ``metric`` (names of measures), ``layer``, ``depth``, ``mean``, ``low``, ``high``, ``n`` and
        `latentgen.summary.RUNS`
    measures : by name, from the top down
    legend : handles
    """
    several_n = table["n"].nunique() > 1
    levels = sorted(table["level"].unique())
    beside = min(_BESIDE, len(levels))
    names, room = layout.names(table, HEIGHT)
    lines = []
    for pair, block in table.groupby(PAIR, sort=False):
        for shown in layout.in_lines(levels, beside):
            if block["level"].isin(shown).any():
                lines += _lines(block, shown, measures, names[pair], several_n)
    left = _LEFT + room
    fig, placed = layout.page(lines, legend, footer, left=left, together=len(_AT))
    width = layout.panel_width(len(_AT) * beside, left, len(_AT))
    for panel, ax in (found for line in placed for found in line):
        _fill(ax, panel, width)
    return fig


def _lines(
    block: pd.DataFrame, shown: Sequence[float], measures: Mapping[str, Measure], names: str, several_n: bool
) -> list[layout.Line]:
    """Lines of panels, one for each measure, of these levels."""
    layers, lines = averages.layers(block), []
    there = [level for level in shown if (block["level"] == level).any()]
    for name, measure in measures.items():
        top, bottom = name == next(iter(measures)), name == list(measures)[-1]
        label = f"{names}\n{measure.label}" if top else measure.label
        cells: list[_Panel | None] = []
        for level in shown:
            of_level = block[block["level"] == level]
            rows = of_level[of_level["metric"] == name]
            axis = measure.axis(rows) if level in there else None
            for at in _AT:
                panel = _Panel(
                    measure.curves(rows[rows["at"] == at]),
                    axis,
                    layers,
                    _title(of_level[of_level["at"] == at], several_n) if top else None,
                    label if (level, at) == (there[0], _AT[0]) else None,
                    y_ticks=at == _AT[0],
                    bottom=bottom,
                )
                cells.append(panel if level in there else None)
        above = 0.1 + (2 + several_n) * LINE if top else _BETWEEN
        below = 0.15 + max(map(style.text_width, layers)) if bottom else 0.0
        lines.append(layout.Line(cells, HEIGHT, above, below))
    return lines


def _title(points: pd.DataFrame, several_n: bool) -> str:
    if points.empty:
        return ""
    first, last = points["first_epoch"].min(), points["last_epoch"].max()
    epochs = f"{first}" if first == last else f"{first} to {last}"
    oracle = " (oracle)" if (points["choice"] == "oracle").any() else ""
    n = f"\nn = {panels.spanned(points['n'])}" if several_n else ""
    return f"corruption {points['level'].iloc[0]:g}\n{points['at'].iloc[0]} {epochs}{oracle}{n}"


def _fill(ax: Axes, panel: _Panel, width: float) -> None:
    panel.axis(ax)
    count = len(panel.layers)
    for points, look, _ in panel.curves:
        points = points.set_index("layer").reindex(panel.layers)
        spread.along(ax, range(count), points, look)
        ax.plot(range(count), points["mean"], **panels.CURVE, **look)
    ax.set_xlim(-0.5, count - 0.5)
    # The last layer is always named, of the others as many as there is room for.
    places = range(count - 1, -1, -int(np.ceil(_NAME * count / width)))
    ax.set_xticks(places, [panel.layers[k] if panel.bottom else "" for k in places], rotation=90)
    ax.tick_params(labelleft=panel.y_ticks)
    layout.dress(ax, panel.title, panel.label, None)
