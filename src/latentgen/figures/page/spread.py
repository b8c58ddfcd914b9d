"""How runs lie about their mean: an interval from four data seeds on; of fewer, the runs themselves.

A 95 % t interval of two runs reaches more than six times as far as from one to the other and fills any panel, so up to
three are shown as they are: `latentgen.summary.RUNS` in the tables behind figures.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from latentgen.summary import FEWEST, RUNS

#: Thin lines of runs, and ticks across their values. Labels that begin so stay out of legends.
LINE = {"linewidth": 0.35, "alpha": 0.75, "linestyle": "-", "label": "_run"}
TICK = {"markersize": 3.0, "markeredgewidth": 0.45, "linestyle": "", "label": "_run"}


def bounds(points: pd.DataFrame) -> pd.DataFrame:
    """Ends of the intervals that are drawn about the means of ``points``, columns ``low, high``; null where none is.

    ``points`` : columns ``low, high, n``
    """
    many = points["n"].to_numpy() >= FEWEST
    ends = {name: np.where(many, points[name].to_numpy(dtype=float), np.nan) for name in ("low", "high")}
    return pd.DataFrame(ends, index=points.index)


def marks(points: pd.DataFrame) -> pd.Series:
    """Values that are drawn: the means of ``points``, and the runs where those are drawn.

    ``points`` : columns ``mean`` and `RUNS`
    """
    return pd.concat([points[column].astype(float) for column in ("mean", *RUNS)], ignore_index=True).dropna()


def along(ax: Axes, x: Any, points: pd.DataFrame, look: dict[str, Any], *, scale: float = 1.0) -> None:
    """Band, or thin lines of runs, about a line of means along ``x``, times ``scale``, under it.

    ``look`` : colour of the line, and its zorder
    """
    under, drawn = {"color": look["color"], "zorder": look.get("zorder", 2) - 1}, scale * bounds(points)
    if not np.isnan(drawn.to_numpy()).all():
        ax.fill_between(x, drawn["low"], drawn["high"], alpha=0.13, linewidth=0, **under)
    for values in _runs(points):
        ax.plot(x, scale * values, **under, **LINE)


def across(
    ax: Axes,
    place: Any,
    points: pd.DataFrame,
    colour: str,
    *,
    width: float,
    scale: float = 100.0,
    upright: bool = False,
) -> None:
    """Bars, or ticks of runs, about means that stand apart, at ``place`` on the other axis; ``upright`` : along y."""
    drawn = scale * bounds(points)
    if not np.isnan(drawn.to_numpy()).all():
        (ax.vlines if upright else ax.hlines)(
            place, drawn["low"], drawn["high"], color=colour, linewidth=width, zorder=2
        )
    for values in _runs(points):
        where = (place, scale * values) if upright else (scale * values, place)
        ax.plot(*where, color=colour, marker="_" if upright else "|", zorder=2, **TICK)


def level(ax: Axes, row: pd.Series, colour: str, *, scale: float = 100.0) -> None:
    """Strip, or thin lines of runs, about a mean that is a horizontal line over the whole panel."""
    if row["n"] >= FEWEST:
        ax.axhspan(scale * row["low"], scale * row["high"], color=colour, alpha=0.08, linewidth=0, zorder=0)
        return
    for value in row[RUNS].dropna():
        ax.axhline(scale * value, color=colour, zorder=0.5, **LINE)


def sentence(n: pd.Series, intervals: str, runs: str) -> str:
    """What a caption says is drawn about means over ``n`` data seeds.

    ``intervals`` : such as 'bands: 95 % Student t interval'; ``runs`` : what shows the runs, such as 'thin lines'
    """
    few = (n > 1) & (n < FEWEST)
    if not few.any():
        return intervals
    if (n < FEWEST).all():
        return f"{runs}: the runs, too few for an interval"
    return f"{intervals}; {runs}: the runs, where fewer than {FEWEST}"


def _runs(points: pd.DataFrame) -> list[np.ndarray]:
    """Values of the first, second and third data seed, NaN where an interval is drawn; only those that have any."""
    found = [points[column].astype(float).to_numpy() for column in RUNS]
    return [values for values in found if np.isfinite(values).any()]
