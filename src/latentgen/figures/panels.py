"""Grids of panels with curves over epochs: a row for each data set, model and noise kind, a column for each level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen.figures import axes, foot, spread, style
from latentgen.figures.foot import LINE

#: How a network's own accuracy looks in every figure.
NETWORK = {"color": "black", "linestyle": (0, (1, 1.2)), "linewidth": 1.2, "zorder": 3}

# Six levels are what fits a page at a readable size; more go on in a further row.
_MOST_COLUMNS = 6

#: A line, where its look says nothing else, and the triangles at epochs at which runs stopped.
CURVE = {"linewidth": 0.9, "zorder": 2, "markersize": 2.6, "markeredgewidth": 0}
STOPS = {"linestyle": "", "marker": "v", "markersize": 2.4, "markeredgewidth": 0, "color": "black"}
_BEGINNING = {"marker": "o", "markersize": 4.5, "markerfacecolor": "none", "markeredgewidth": 0.7, "zorder": 4}

# Sizes in inches.
_LEFT, _GAP, _ROW_GAP, _XLABEL = 0.58, 0.1, 0.26, 0.34
_NO_LEGEND, _LEAST_HEIGHT = 0.12, 1.1


class Curve(NamedTuple):
    """One line, of all panels of a row.

    Parameters
    ----------
    points : rows of the table behind the figure, in order of epochs
    look : properties of the line and its markers (`matplotlib.lines.Line2D`)
    label : in the legends; None leaves it out
    stops : properties of the triangles at the epochs at which runs stopped; None draws none
    begins : whether the first point is ringed
    band : whether its interval, or its runs, are drawn
    marks : markers along the line, after the first
    """

    points: pd.DataFrame
    look: Mapping[str, Any]
    label: str | None = None
    stops: Mapping[str, Any] | None = None
    begins: bool = False
    band: bool = True
    marks: int = 4


class Legend(NamedTuple):
    """Legend to the right of a row; ``room`` are labels to leave room for, so that related figures have equal sizes."""

    title: str
    curves: Sequence[Curve] = ()
    room: Sequence[str] = ()


@dataclass(frozen=True)
class Row:
    """Panels that share their axes, one for each level.

    Parameters
    ----------
    names : what the row shows, in the label of its y axis
    measure : what its y axis measures
    curves : in the order in which they are drawn
    legend : to its right
    reference : grey line, a fraction
    signed : whether values are differences
    """

    names: Sequence[str]
    measure: str
    curves: Sequence[Curve]
    legend: Legend | None = None
    reference: float | None = None
    signed: bool = False
    table: pd.DataFrame = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "table", pd.concat([curve.points for curve in self.curves], ignore_index=True))


def draw(rows: Sequence[Row], footer: Sequence[str], *, below: Sequence[Curve] = ()) -> Figure:
    """Figure of ``rows`` with sentences ``footer`` under them.

    Parameters
    ----------
    below : curves of the legend that stands for all rows, between the panels and the footer
    """
    return _Page(rows, footer, below).draw()


class _Page:
    """Sizes and places, in inches, then the drawing."""

    def __init__(self, rows: Sequence[Row], footer: Sequence[str], below: Sequence[Curve]):
        every = pd.concat([row.table for row in rows], ignore_index=True)
        levels = sorted(every["level"].unique())
        self.columns = min(len(levels), _MOST_COLUMNS)
        # A row goes on below itself with its further levels, those of which it has any.
        self.rows = []
        for row in rows:
            for start in range(0, len(levels), self.columns):
                shown = levels[start : start + self.columns]
                if row.table["level"].isin(shown).any():
                    self.rows.append((row, shown))
        legends = [row.legend for row in rows if row.legend is not None]
        room = [label for legend in legends for label in _room(legend)]
        titles = [line for legend in legends for line in legend.title.splitlines()]
        widths = [
            *(foot.HANDLE + style.text_width(label) for label in room),
            *(0.15 + style.text_width(t) for t in titles),
        ]
        self.right = max([*widths, _NO_LEGEND])
        # One title stands for a column, unless levels go on in a further row or n differs between panels.
        self.several_n = every["n"].nunique() > 1
        self.titled = self.several_n or len(levels) > self.columns
        self.title = 0.2 + self.several_n * LINE
        self.gap = _ROW_GAP + self.titled * (self.title - 0.06)
        self._lines = 1 + max([len(legend.title.splitlines()) + len(_room(legend)) for legend in legends], default=0)
        self._size(_LEFT)
        most = max(len(self._label(row).splitlines()) for row in rows)
        self._size(_LEFT + (most - 2) * LINE)
        self.footer = foot.sentences(footer, self.total)
        self.below = below
        if below:
            self.below_columns = foot.beside([curve.label for curve in below], self.total)
        lines = -(-len(below) // self.below_columns) + 0.6 if below else 0
        self.bottom = _XLABEL + (len(self.footer) + 0.6 + lines) * LINE
        self.tall = self.title + len(self.rows) * self.height + (len(self.rows) - 1) * self.gap + self.bottom

    def _size(self, left: float) -> None:
        self.left = left
        free = style.PAGE_WIDTH - left - self.right - (self.columns - 1) * _GAP
        self.width = min(2.6, free / self.columns)
        self.height = max(min(2.2, 1.3 * self.width), _LEAST_HEIGHT, self._lines * LINE)
        self.total = left + self.columns * self.width + (self.columns - 1) * _GAP + self.right

    def _label(self, row: Row) -> str:
        """Label of a row's y axis: as many names to a line as it is high."""
        lines = [row.names[0]]
        for name in row.names[1:]:
            if style.text_width(f"{lines[-1]}, {name}") < self.height + 0.2:
                lines[-1] += f", {name}"
            else:
                lines.append(name)
        return "\n".join([*lines, row.measure])

    def draw(self) -> Figure:
        self.fig = style.blank(self.total, self.tall)
        for i, (row, shown) in enumerate(self.rows):
            base = self.tall - self.title - self.height - i * (self.height + self.gap)
            self._row(i, row, shown, base)
            if row.legend is not None and (i == 0 or self.rows[i - 1][0] is not row):
                place = ((self.total - self.right + 0.04) / self.total, (base + self.height + 0.06) / self.tall)
                _legend(self.fig, row.legend.curves, place, title=row.legend.title)
        if self.below:
            place = (0.1 / self.total, (self.bottom - _XLABEL) / self.tall)
            _legend(self.fig, self.below, place, ncols=self.below_columns, columnspacing=1.2, borderpad=0)
        foot.write(self.fig, self.footer)
        return self.fig

    def _row(self, i: int, row: Row, shown: Sequence[float], base: float) -> None:
        limits = _limits(row)
        filled = [(j, level) for j, level in enumerate(shown) if (row.table["level"] == level).any()]
        for j, level in filled:
            left = self.left + j * (self.width + _GAP)
            place = (left / self.total, base / self.tall, self.width / self.total, self.height / self.tall)
            ax = self.fig.add_axes(place)
            style.epoch_axis(ax, int(row.table["epoch"].max()))
            ax.set_ylim(limits)
            ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            if row.reference is not None:
                ax.axhline(100 * row.reference, **style.REFERENCE)
            _panel(ax, row, level)
            if self.titled or not self._holds(level, self.rows[:i]):
                n = row.table["n"][row.table["level"] == level]
                ax.set_title(f"corruption {level:g}" + (f"\nn = {spanned(n)}" if self.several_n else ""), pad=3)
            if j == filled[0][0]:
                ax.set_ylabel(self._label(row), labelpad=2, linespacing=1.2)
            else:
                ax.tick_params(labelleft=False)
            if i == len(self.rows) - 1 or not (self.titled or self._holds(level, self.rows[i + 1 :])):
                ax.set_xlabel("epoch", labelpad=1)

    @staticmethod
    def _holds(level: float, rows: Sequence[tuple[Row, Sequence[float]]]) -> bool:
        return any(level in shown and (row.table["level"] == level).any() for row, shown in rows)


def spanned(n: pd.Series) -> str:
    """``3``, or ``3 to 5`` where the numbers of data seeds differ."""
    return f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"


def seeds(table: pd.DataFrame, *, paired: bool = False) -> list[str]:
    """Sentences on the numbers of data seeds and the bands."""
    about = spread.sentence(table["n"], "bands: 95\xa0% Student t interval", "thin lines")
    return over_seeds(table, about + (", paired within runs" if paired else ""))


def over_seeds(table: pd.DataFrame, about: str) -> list[str]:
    """Sentences on the numbers of data seeds, and ``about`` their means where there is more than one."""
    if table["n"].max() == 1:
        text = ["One data seed (n\xa0=\xa01): no interval."]
    else:
        n = spanned(table["n"]).replace(" ", "\xa0")
        text = [f"Mean over n\xa0=\xa0{n} data seeds; {about}."]
    if (table["n_runs"] > table["n"]).any():
        text.append("Model seeds of a data seed are averaged first.")
    return text


def epochs(table: pd.DataFrame) -> list[str]:
    """Sentences on the axis of epochs and on runs that have stopped."""
    text = ["Epoch 0 is the initialisation; the axis is linear to 1, then logarithmic."]
    if table["carried"].any():
        text.append("Triangles: a run stopped; thinner lines carry its last value on.")
    return text


def _panel(ax: Axes, row: Row, level: float) -> None:
    curves = [(curve, curve.points[curve.points["level"] == level]) for curve in row.curves]
    curves = [(curve, points) for curve, points in curves if not points.empty]
    marked = [curve for curve, _ in curves if "marker" in curve.look]
    turn = 0
    for curve, points in curves:
        every: list[int] = []
        if curve.look.get("linestyle") == "":
            every = list(range(len(points)))
        elif "marker" in curve.look:
            every = style.marked(ax, points["epoch"].to_numpy(), turn, len(marked), curve.marks)
            turn += 1
        trace(ax, points, {**CURVE, **curve.look}, every, scale=100, band=curve.band)
    for curve, points in curves:
        if curve.begins:
            first = points.iloc[0]
            ax.plot(first["epoch"], 100 * first["mean"], color=curve.look["color"], **_BEGINNING)
        stops = points["epoch"][points["n_measured"].diff(-1) > 0]
        if curve.stops is not None and not stops.empty:
            along = ax.get_xaxis_transform()
            ax.plot(stops, np.full(len(stops), 0.025), transform=along, **{**STOPS, **curve.stops})


def trace(
    ax: Axes,
    points: pd.DataFrame,
    look: Mapping[str, Any],
    every: Sequence[int],
    *,
    scale: float = 1,
    band: bool = True,
) -> None:
    """Line of means times ``scale``, band or runs, and markers at the points ``every``; thinner once runs have stopped.

    ``look`` has at least what `CURVE` has, and a colour.
    """
    x, y = points["epoch"].to_numpy(), scale * points["mean"].to_numpy()
    if band:
        spread.along(ax, x, points, look, scale=scale)
    whole = int((~points["carried"]).sum())
    ax.plot(x[:whole], y[:whole], **look, markevery=[k for k in every if k < whole])
    if whole < len(x):
        start = max(whole - 1, 0)
        thin = {"linewidth": 0.5 * look["linewidth"], "markersize": look["markersize"] / 1.3}
        ax.plot(x[start:], y[start:], **{**look, **thin}, markevery=[k - start for k in every if k >= whole])


def _limits(row: Row) -> tuple[float, float]:
    """Limits in percent for the panels of a row.

    Bands count up to half of what the lines span, so that they do not flatten them all.
    """
    table = row.table
    low, high = 100 * spread.marks(table).min(), 100 * spread.marks(table).max()
    reference = low if row.reference is None else 100 * row.reference
    low, high = min(low, reference), max(high, reference)
    low, high = axes.held(low, high, 100 * spread.bounds(table), 1.0)
    floor, ceiling = (-100.0, 100.0) if row.signed else (0.0, 100.0)
    margin = 0.04 * (high - low) + 0.5
    return max(low, floor) - margin, min(high, ceiling) + margin


def _room(legend: Legend) -> Sequence[str]:
    return legend.room or [curve.label for curve in legend.curves]


def _legend(fig: Figure, curves: Sequence[Curve], place: tuple[float, float], **look) -> None:
    handles = []
    for curve in curves:
        line = {
            key: value for key, value in {**CURVE, **curve.look}.items() if key not in ("zorder", "markeredgewidth")
        }
        handles.append(Line2D([], [], label=curve.label, **{**line, "markersize": 3.2}))
    fig.legend(handles=handles, bbox_to_anchor=place, alignment="left", **foot.LEGEND, **look)
