"""Lines of means along epochs, or along layers, with bands, markers, and where runs stopped."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from latentgen.figures.page import spread, style

_STOPS = {"linestyle": "", "marker": "v", "markersize": 2.4, "markeredgewidth": 0, "color": "black"}
_BEGINNING = {"marker": "o", "markersize": 4.5, "markerfacecolor": "none", "markeredgewidth": 0.7, "zorder": 4}
_BEST = {"color": "0.35", "linewidth": 0.6, "zorder": 1}


class Curve(NamedTuple):
    """One line of a panel, or marks.

    Parameters
    ----------
    points : rows of the table behind the figure, in order of epochs
    look : properties of the line and its markers (`matplotlib.lines.Line2D`); without ``linestyle`` marks alone
    stops : properties of the triangles at the epochs at which runs stopped; None draws none
    begins : whether the first point is ringed
    band : whether its interval, or its runs, are drawn
    marks : markers along the line, after the first
    """

    points: pd.DataFrame
    look: Mapping[str, Any]
    stops: Mapping[str, Any] | None = None
    begins: bool = False
    band: bool = True
    marks: int = 4

    def of(self, **columns: Any) -> "Curve":
        """The same with those of its points that have these values."""
        points = self.points
        for name, value in columns.items():
            points = points[points[name] == value]
        return self._replace(points=points)


def of_layers(points: pd.DataFrame, looks: Mapping[str, Mapping[str, Any]]) -> list[Curve]:
    """A curve for each layer that has a look, in their order."""
    return [Curve(points[points["layer"] == layer], look) for layer, look in looks.items()]


def over_epochs(
    curves: Sequence[Curve],
    axis: Callable[[Axes], None],
    last: int,
    *,
    scale: float = 1.0,
    best: tuple[int, int] | None = None,
) -> Callable[[Axes], None]:
    """What fills a panel over the epochs 0 to ``last``.

    Parameters
    ----------
    axis : sets up the y axis, before anything is drawn
    scale : that values are multiplied by
    best : the first and the last of the runs' best epochs, drawn as a strip
    """
    curves = [curve for curve in curves if not curve.points.empty]

    def fill(ax: Axes) -> None:
        style.epoch_axis(ax, last)
        axis(ax)
        marked, turn = sum("marker" in curve.look for curve in curves), 0
        for curve in curves:
            every: list[int] = []
            if "marker" in curve.look:
                every = style.marked(ax, curve.points["epoch"].to_numpy(), turn, marked, curve.marks)
                turn += 1
            _trace(ax, curve, every, scale)
        for curve in curves:
            _ends(ax, curve, scale)
        if best is not None:
            ax.axvspan(*best, color=_BEST["color"], alpha=0.1, linewidth=0, zorder=0)
            for epoch in sorted(set(best)):
                ax.axvline(epoch, **_BEST)

    return fill


def _trace(ax: Axes, curve: Curve, every: Sequence[int], scale: float) -> None:
    """Means, band or runs, and markers at the points ``every``; thinner once runs have stopped."""
    points, look = curve.points, {**style.LINE, **curve.look}
    x, y = points["epoch"].to_numpy(), scale * points["mean"].to_numpy()
    if look.get("linestyle") == "":
        # What is measured at some epochs only has no band between them.
        if curve.band:
            spread.across(ax, x, points, look["color"], width=0.5, scale=scale, upright=True)
        ax.plot(x, y, **look)
        return
    if curve.band:
        spread.along(ax, x, points, look, scale=scale)
    whole = int((~points["carried"]).sum())
    ax.plot(x[:whole], y[:whole], **look, markevery=[k for k in every if k < whole])
    if whole < len(x):
        start = max(whole - 1, 0)
        thin = {"linewidth": 0.5 * look["linewidth"], "markersize": look["markersize"] / 1.3}
        ax.plot(x[start:], y[start:], **{**look, **thin}, markevery=[k - start for k in every if k >= whole])


def _ends(ax: Axes, curve: Curve, scale: float) -> None:
    """A ring where a line begins, triangles where runs stopped."""
    points = curve.points
    if curve.begins:
        first = points.iloc[0]
        ax.plot(first["epoch"], scale * first["mean"], color=curve.look["color"], **_BEGINNING)
    stops = points["epoch"][points["n_measured"].diff(-1) > 0]
    if curve.stops is not None and not stops.empty:
        ax.plot(stops, np.full(len(stops), 0.025), transform=ax.get_xaxis_transform(), **{**_STOPS, **curve.stops})


def handle(label: str, look: Mapping[str, Any]) -> Line2D:
    """Entry of a legend for a line of this look."""
    shown = {key: value for key, value in {**style.LINE, **look}.items() if key not in ("zorder", "markeredgewidth")}
    if look.get("markerfacecolor") == "white":
        shown["markeredgewidth"] = look.get("markeredgewidth", 0.6)
    return Line2D([], [], label=label, **{**shown, "markersize": max(3.2, shown["markersize"])})


#: Entries of a legend for the strip at the best epochs, and for reference lines.
BEST_EPOCH = Line2D([], [], label="network's best epoch (oracle)", **_BEST)
CHANCE = Line2D([], [], label="chance", **style.REFERENCE)
EQUAL = Line2D([], [], label="no difference", **style.REFERENCE)
