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
from scipy import stats

from latentgen.caption import Caption
from latentgen.figures.geometry import views
from latentgen.figures.numbers.results import Results
from latentgen.figures.page import Drawing, Panel, Reader, Row, compose, facets, layers, sentences
from latentgen.summary import GRID_POINT, RUN, SEEDS

#: Columns of the table behind the figure, after those of the grid point.
COLUMNS = [
    *["series", *SEEDS, "epoch", "layer", "depth", "view", "measured", "measured_error", "theory", "theory_error"],
    *["unstructured", "correlation", "deviation", "n", "n_points"],
]

#: Metric of the measured capacity → name of its series and how marks are filled.
_SIMULATED = {"simulated_capacity": "axes removed", "simulated_capacity_raw": "axes kept"}
_EQUAL = {"color": "0.3", "linewidth": 0.7, "zorder": 1}

#: Panels beside one another, and their height in inches.
_LEVELS, _HEIGHT = 3, 1.8

#: Standard errors that a bar is long to either side.
_NORMAL = 1.96


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 18, from the table geometry.

    Raises ``ValueError`` where the table lacks what the figure shows.
    """
    geometry = reader.rows(views.rows(results, list(_SIMULATED), "geometry.simulated"), "layer")
    key = [*RUN, "epoch", "layer", "depth", "view"]
    theory = results.geometry[results.geometry["metric"] == "capacity"]
    theory = theory.merge(geometry[key].drop_duplicates(), on=key)
    columns = {"value": "measured", "error": "measured_error"}
    measured = geometry.dropna(subset="value").rename(columns=columns).drop(columns=["kappa", "n"])
    columns = {"value": "theory", "error": "theory_error"}
    table = measured.merge(theory.dropna(subset="value").rename(columns=columns)[[*key, *columns.values()]], on=key)
    if table.empty:
        raise ValueError(
            "the geometry table holds no mean-field capacity where capacity was measured; both are of one grid entry"
        )
    table["series"] = table["metric"].map(_SIMULATED)
    by = [*GRID_POINT, "series"]
    agreement = [dict(zip(by, names, strict=True)) | _agreement(points) for names, points in table.groupby(by)]
    table = views.tidy(table.merge(pd.DataFrame(agreement), on=by), geometry, COLUMNS, _SIMULATED.values())
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
            *views.missing(pd.concat([geometry, theory])),
        ),
    )
    return Drawing(_pages(table, looks), table, caption)


def _some(values: pd.Series) -> str:
    """The values that there are, where those are a few, or how many."""
    names = [str(value) for value in values.unique()]
    return ", ".join(names) if len(names) <= layers.FEW else f"{len(names)} of them"


def _agreement(points: pd.DataFrame) -> dict[str, float]:
    """How theory and measurement agree; no correlation of fewer than three marks, or of constants."""
    x, y = np.log(points["measured"]), np.log(points["theory"])
    told = len(points) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    return {
        "correlation": stats.pearsonr(x, y).statistic if told else np.nan,
        "deviation": (points["theory"] / points["measured"] - 1).mean(),
        "n": points["data_seed"].nunique(),
        "n_points": len(points),
    }


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
