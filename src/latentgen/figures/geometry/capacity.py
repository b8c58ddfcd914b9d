"""Figure 18: capacity by theory against capacity measured."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from latentgen.caption import Caption
from latentgen.figures.geometry import views
from latentgen.figures.page import Drawing, Panel, Reader, Row, compose, facets, sentences
from latentgen.numbers import averages, geometry
from latentgen.numbers.results import Results

_EQUAL = {"color": "0.3", "linewidth": 0.7, "zorder": 1}

#: Panels beside one another, and their height in inches.
_LEVELS, _HEIGHT = 3, 1.8

#: Standard errors that a bar is long to either side.
_NORMAL = 1.96


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 18, from the table geometry."""
    measured = reader.rows(geometry.rows(results, geometry.SIMULATED, "geometry.simulated"), "layer")
    theory = geometry.theory(results, measured)
    table = geometry.capacity(measured, theory)
    looks = reader.looks(views.LOOKS)
    margins = ("Measured without a margin, theory with one: they are not expected to agree.",)
    caption = Caption(
        shown=(
            "Titles give, for marks with the axes removed and kept, the correlation r of the logarithms, and how far "
            "the theory is above or below the measurement, mean relative deviation.",
            f"Layers: {_some(table['layer'])}; epochs: {_some(table['epoch'])}. Both axes are logarithmic.",
            views.UNSTRUCTURED_MEANT,
            *views.sizes(theory),
        ),
        seeds=(
            f"{views.data_seeds(table)}, not averaged; {facets.spanned(table['n_points'])} marks of a panel and kind. "
            "Bars: 1.96 standard errors within a run, over random directions (theory) and dichotomies (measured), not "
            "over runs.",
        ),
        caveats=(
            *(margins if (theory["kappa"] != 0).any() else ()),
            *views.few_classes(theory),
            "Marks of one run are not independent.",
            *views.missing(pd.concat([measured, theory])),
        ),
    )
    return Drawing(_pages(table, looks), table, caption)


def _some(values: pd.Series) -> str:
    """The values that there are, where those are a few, or how many."""
    names = [str(value) for value in values.unique()]
    return ", ".join(names) if len(names) <= averages.FEW else f"{len(names)} of them"


def _pages(table: pd.DataFrame, looks: Mapping[str, dict]) -> list[Figure]:
    rows = []
    for pair, block in facets.pairs(table):
        for shown in facets.levels(block, _LEVELS):
            panels = facets.beside(
                block,
                shown,
                lambda level, points: Panel(
                    partial(_panel, points=points, looks=looks), _title(level, points), "capacity, measured"
                ),
            )
            rows.append(Row(panels, _HEIGHT, "capacity, theory", facets.heading(pair), together=1))
    shown = list(dict.fromkeys(table["series"]))
    handles = [
        *views.handles(table["view"], looks, joined=False),
        *(Line2D([], [], label=name, marker="o", markersize=3.2, color="0.3", **_fill(name, "0.3")) for name in shown),
        Line2D([], [], label="equal", **_EQUAL),
        Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED),
    ]
    return compose(rows, handles, panel_width=2.0)


def _title(level: float, points: pd.DataFrame) -> str:
    """Level, and the agreement of marks of both kinds."""
    lines = [facets.title(level)]
    for series, of_series in points.groupby("series", sort=False):
        first = of_series.iloc[0]
        r = "" if np.isnan(first["correlation"]) else f"r = {sentences.signed(first['correlation'], '.2f')}, "
        side = "above" if first["deviation"] >= 0 else "below"
        lines.append(f"{series.split()[-1]}: {r}theory {abs(100 * first['deviation']):.0f}\xa0% {side}")
    return "\n".join(lines)


def _fill(series: str, colour: str) -> dict[str, Any]:
    face = colour if series == "axes removed" else "white"
    return {"linestyle": "", "markerfacecolor": face, "markeredgewidth": 0.7}


def _panel(ax: Axes, points: pd.DataFrame, looks: Mapping[str, dict]) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    # Filled marks lie over hollow ones.
    for series, zorder in (("axes kept", 2), ("axes removed", 3)):
        for view, look in looks.items():
            of = points[(points["series"] == series) & (points["view"] == view)]
            x, y = of["measured"].to_numpy(), of["theory"].to_numpy()
            x_error, y_error = (_bars(of[column], of[f"{column}_error"]) for column in ("measured", "theory"))
            line = {"color": look["color"], "linewidth": 0.5, "zorder": zorder - 0.5}
            ax.hlines(y, *x_error, **line)
            ax.vlines(x, *y_error, **line)
            mark = {"color": look["color"], "marker": look["marker"], "markersize": 3.2, "zorder": zorder}
            ax.plot(x, y, **mark, **_fill(series, look["color"]))
    values = np.concatenate([points["measured"], points["theory"], points["unstructured"]])
    limits = values.min() / 1.3, values.max() * 1.3
    ax.plot(limits, limits, **_EQUAL)
    ax.axhline(points["unstructured"].mean(), **views.UNSTRUCTURED)
    ax.axvline(points["unstructured"].mean(), **views.UNSTRUCTURED)
    ax.set(xlim=limits, ylim=limits)
    for axis in (ax.xaxis, ax.yaxis):
        wide = limits[1] > 12 * limits[0]
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if wide else MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())


def _bars(values: pd.Series, errors: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the bars: of no length without an error, and short of zero, which a logarithmic axis never reaches."""
    half = _NORMAL * errors.fillna(0.0)
    return np.maximum(values - half, 0.01 * values).to_numpy(), (values + half).to_numpy()
