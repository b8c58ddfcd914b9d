"""Figure 18: capacity by theory against capacity measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy import stats

from latentgen.figures import layout, views
from latentgen.figures.averages import PAIR
from latentgen.figures.results import Results
from latentgen.summary import GRID_POINT, RUN, SEEDS

#: Columns of the table behind the figure, after those of the grid point.
COLUMNS = [
    *["series", *SEEDS, "epoch", "layer", "depth", "view", "measured", "measured_error", "theory", "theory_error"],
    *["unstructured", "correlation", "deviation", "n", "n_points"],
]

#: Metric of the measured capacity → name of its series and how marks are filled.
_SIMULATED = {"simulated_capacity": "axes removed", "simulated_capacity_raw": "axes kept"}
_EQUAL = {"color": "0.3", "linewidth": 0.7, "zorder": 1}

# Sizes in inches; _LEVELS is the number of panels to a line.
_LEFT, _LINE, _TICKS, _LEVELS = 0.5, 0.125, 0.34, 3

#: Standard errors that a bar is long to either side.
_NORMAL = 1.96


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 18, from the table geometry.

    Raises ``ValueError`` where the table lacks what the figure shows.
    """
    geometry = views.rows(results, list(_SIMULATED), "geometry.simulated")
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
    footer = [
        "Capacity in classes per feature: theory is the mean-field one, after the axes that class centres share are "
        "removed; measured are classes over the features of a random projection at which half of random dichotomies of "
        "the classes are linearly separable. Filled: measured with the same axes removed, the fair comparison; hollow: "
        "with the axes kept, which the theory does not describe. A mark is a view at one layer and epoch of one run.",
        views.GROUPED,
        *views.sizes(theory),
        f"{views.data_seeds(table)}, not averaged; bars: 1.96 standard errors within a run, over random directions "
        "(theory) and dichotomies (measured), not over runs.",
        "r: correlation of the logarithms; %: mean deviation of theory from measurement, relative to it; marks of one "
        "run are not independent.",
        *views.missing(pd.concat([geometry, theory])),
    ]
    if (theory["kappa"] != 0).any():
        footer.append("Measured without a margin, theory with one: they are not expected to agree.")
    return _figure(table, footer), table


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


def _figure(table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    levels = sorted(table["level"].unique())
    columns = min(_LEVELS, len(levels))
    names = {pair: layout.named(pair, 1.6) for pair, _ in table.groupby(PAIR, sort=False)}
    left = _LEFT + _LINE * max(map(len, names.values()))
    width = layout.panel_width(columns, left)
    lines = []
    for pair, block in table.groupby(PAIR, sort=False):
        for shown in layout.in_lines(levels, columns):
            there = [level for level in shown if (block["level"] == level).any()]
            cells: list[views.Cell | None] = [None] * len(shown)
            for place, level in enumerate(shown):
                points = block[block["level"] == level]
                if level in there:
                    label = "\n".join([*names[pair], "capacity, theory"]) if level == there[0] else None
                    cells[place] = views.Cell(points, _title(points), label, "capacity, measured")
            if there:
                lines.append(layout.Line(cells, width, 0.1 + 3 * _LINE, _TICKS))
    shown = list(dict.fromkeys(table["series"]))
    handles = [
        *views.handles(table["view"], joined=False),
        *(Line2D([], [], label=name, marker="o", markersize=3.2, color="0.3", **_fill(name, "0.3")) for name in shown),
        Line2D([], [], label="equal", **_EQUAL),
        Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED),
    ]
    fig, placed = layout.page(lines, handles, footer, left=left)
    for cell, ax in (panel for line in placed for panel in line):
        _panel(ax, cell)
    return fig


def _title(points: pd.DataFrame) -> str:
    """Level, and the agreement of filled and of hollow marks; an empty line where there are none."""
    lines = [f"corruption {points['level'].iloc[0]:g}"]
    for series, sign in zip(_SIMULATED.values(), ("\N{BLACK CIRCLE}", "\N{WHITE CIRCLE}"), strict=True):
        of_series = points[points["series"] == series]
        text = ""
        if not of_series.empty:
            first = of_series.iloc[0]
            r = "" if np.isnan(first["correlation"]) else f"r = {views.signed(first['correlation'], 2)}, "
            deviation = f"{100 * first['deviation']:+.0f}".replace("-", "\N{MINUS SIGN}")
            text = f"{sign} {r}{deviation} %, {first['n_points']} marks"
        lines.append(text)
    return "\n".join(lines)


def _fill(series: str, colour: str) -> dict[str, Any]:
    face = colour if series == "axes removed" else "white"
    return {"linestyle": "", "markerfacecolor": face, "markeredgewidth": 0.7}


def _panel(ax: Axes, cell: views.Cell) -> None:
    points = cell.points
    ax.set_xscale("log")
    ax.set_yscale("log")
    # Filled marks lie over hollow ones.
    for series, zorder in (("axes kept", 2), ("axes removed", 3)):
        for view, look in views.LOOKS.items():
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
    views.dress(ax, cell)


def _bars(values: pd.Series, errors: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the bars: of no length without an error, and short of zero, which a logarithmic axis never reaches."""
    half = _NORMAL * errors.fillna(0.0)
    return np.maximum(values - half, 0.01 * values).to_numpy(), (values + half).to_numpy()
