"""Figures 16 and 17: mean-field geometry of class manifolds, by layer and over training."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from latentgen import summary
from latentgen.activations import INPUT
from latentgen.caption import Caption
from latentgen.figures.geometry import views
from latentgen.figures.numbers import averages
from latentgen.figures.numbers.averages import PAIR
from latentgen.figures.numbers.results import Results
from latentgen.figures.numbers.tidy import in_order, undefined_kept
from latentgen.figures.page import (
    Curve,
    Drawing,
    Measure,
    Panel,
    Reader,
    Row,
    axes,
    by_layer,
    compose,
    compose_layers,
    facets,
    layers,
)
from latentgen.summary import GRID_POINT, RUN, RUNS

#: Columns of the tables behind the figures, after those of the grid point.
BY_LAYER = [
    *["at", "choice", "first_epoch", "last_epoch", "layer", "depth", "view", "metric", "mean", "low", "high"],
    *["n", "n_runs", *RUNS, "error", "spread", "unstructured"],
]
OVER_TRAINING = [
    *["layer", "depth", "view", "metric", *averages.STATISTICS],
    *["unstructured", *by_layer.BEST],
]

#: Measures on logarithmic axes, whose means are geometric.
_LOGARITHMIC = ("capacity", "radius")


class _Shown(NamedTuple):
    """A measure in the figures: label of its axis, and the axis from some rows."""

    label: str
    axis: Callable[[pd.DataFrame], Callable[[Axes], None]]


# --- figure 16 ------------------------------------------------------------------------------------

#: The epochs that panels beside one another show, and the most levels beside one another.
_AT, _BESIDE = ("best epoch", "last epoch"), 2
_HEIGHT = 0.85


def by_layers(results: Results, reader: Reader) -> Drawing:
    """Figure 16, from the tables geometry and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    geometry = views.rows(results, _MEASURES)
    shown = reader.rows(geometry.merge(views.epochs(geometry, results), on=[*RUN, "epoch"]), "layer")
    at = [*GRID_POINT, "at"]
    by = [*at, "layer", "depth", "view", "metric"]
    of_runs = shown.groupby(by, as_index=False)[["error", "spread", "unstructured"]].mean()
    ranges = shown.groupby(at, as_index=False).agg(first_epoch=("epoch", "min"), last_epoch=("epoch", "max"))
    means = _unlogged(summary.over_seeds(_logged(undefined_kept(shown)), by))
    table = means.merge(of_runs, on=by).merge(ranges, on=at)
    table["choice"] = table["at"].map({"best epoch": "oracle", "last epoch": "fixed"})
    table = _tidy(table, geometry, ["at", "metric", "view", "depth"], BY_LAYER)
    looks = reader.looks(views.LOOKS)
    n, rows = facets.numbers(table), []
    for pair, block in facets.pairs(table):
        for levels in facets.levels(block, _BESIDE):
            heading = facets.heading(pair)
            for name, measure in _MEASURES.items():
                panels = [
                    panel
                    for level in levels
                    for panel in _pair_of_panels(block[block["level"] == level], name, measure, looks, n, bool(heading))
                ]
                rows.append(Row(panels, _HEIGHT, measure.label, heading, joined=not heading, together=len(_AT)))
                heading = ""
    caption = _caption(table, shown)
    return Drawing(compose(rows, _handles(table, looks)), table, caption)


def _pair_of_panels(
    block: pd.DataFrame, name: str, measure: _Shown, looks: Mapping[str, dict], n: Callable, titled: bool
) -> list[Panel]:
    """The best epoch beside the last, on one axis."""
    rows, names = block[block["metric"] == name], averages.layers(block)
    axis = measure.axis(rows)

    def fill(ax: Axes, points: pd.DataFrame) -> None:
        axis(ax)
        for view, look in looks.items():
            layers.line(ax, points[points["view"] == view], names, look)
        layers.axis(ax, names)

    return [
        Panel(partial(fill, points=rows[rows["at"] == at]), _title(block[block["at"] == at], n) if titled else "")
        for at in _AT
    ]


def _title(points: pd.DataFrame, n: Callable) -> str:
    if points.empty:
        return ""
    first, last = points["first_epoch"].min(), points["last_epoch"].max()
    epochs = f"{first}" if first == last else f"{first} to {last}"
    oracle = " (oracle)" if (points["choice"] == "oracle").any() else ""
    return f"{facets.title(points['level'].iloc[0], n(points))}\n{points['at'].iloc[0]} {epochs}{oracle}"


# --- figure 17 ------------------------------------------------------------------------------------


def over_training(results: Results, reader: Reader) -> Drawing:
    """Figure 17, from the tables geometry and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    shown = ("capacity", "radius", "dimension")
    measured = views.rows(results, shown)
    geometry = reader.rows(measured, "layer")
    if reader.layers is None:
        geometry = pd.concat([_few(of_pair) for _, of_pair in geometry.groupby(PAIR, sort=False)])
    best = by_layer.best_epochs(views.epochs(measured, results))
    there = undefined_kept(geometry)
    unstructured = there.groupby(GRID_POINT, as_index=False)["unstructured"].mean()
    table = _unlogged(averages.over_epochs(_logged(there), [*GRID_POINT, "layer", "depth", "view", "metric"]))
    table = table.merge(unstructured, on=GRID_POINT).merge(best, on=GRID_POINT)
    table = _tidy(table, geometry, ["metric", "depth", "view", "epoch"], OVER_TRAINING)
    looks = reader.looks(views.LOOKS)

    def curves(points: pd.DataFrame) -> list[Curve]:
        return [Curve(points[points["view"] == view], look, stops={}, marks=2) for view, look in looks.items()]

    measures = {name: Measure(_MEASURES[name].label, curves, _MEASURES[name].axis) for name in shown}
    caption = _caption(table, geometry)
    return Drawing(compose_layers(table.assign(line=table["metric"]), measures, _handles(table, looks)), table, caption)


def _few(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a few layers of one model."""
    return rows[rows["layer"].isin(layers.few(averages.layers(rows[rows["layer"] != INPUT])))]


# --- both -----------------------------------------------------------------------------------------


def _logged(rows: pd.DataFrame) -> pd.DataFrame:
    """Values of logarithmic measures as logarithms; zero and what is undefined stay infinite."""
    logarithms = np.log10(rows["value"].where(rows["value"] > 0, np.inf))
    return rows.assign(value=rows["value"].mask(rows["metric"].isin(_LOGARITHMIC), logarithms))


def _unlogged(table: pd.DataFrame) -> pd.DataFrame:
    of = table["metric"].isin(_LOGARITHMIC) & np.isfinite(table["mean"])
    columns = ["mean", "low", "high", *RUNS]
    table = table.copy()
    table.loc[of, columns] = 10 ** table.loc[of, columns].astype(float)
    return table


def _tidy(table: pd.DataFrame, geometry: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Means that are defined, in order."""
    table = table[np.isfinite(table["mean"])]
    return in_order(table, geometry, by, {"metric": _MEASURES, "view": views.LOOKS})[[*GRID_POINT, *columns]]


def _plain_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    return axes.plain_axis(points, log=False)


def _log_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    """Where one class whose centre all but vanishes with the axes may be far above the others."""
    return axes.plain_axis(points, log=True)


def _capacity_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    unstructured = points["unstructured"].mean()
    axis = axes.plain_axis(points, [unstructured], log=True)

    def dress(ax: Axes) -> None:
        axis(ax)
        # Over bands, under lines.
        ax.axhline(unstructured, **{**views.UNSTRUCTURED, "zorder": 1.5})

    return dress


#: What each row of panels shows; figure 17 leaves the last out.
_MEASURES = {
    "capacity": _Shown("capacity", _capacity_axis),
    "radius": _Shown("radius", _log_axis),
    "dimension": _Shown("dimension", _plain_axis),
    "center_correlation": _Shown("centre\ncorrelation", _plain_axis),
}


def _handles(table: pd.DataFrame, looks: Mapping[str, dict]) -> list[Line2D]:
    unstructured = Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED)
    return [*views.handles(table["view"], looks), unstructured]


def _caption(table: pd.DataFrame, geometry: pd.DataFrame) -> Caption:
    zero = (geometry["metric"].isin(_LOGARITHMIC) & (geometry["value"] <= 0)).sum()
    text = f"Zero, so left out of logarithmic axes: {zero} of {len(geometry)} values of single runs."
    return Caption(
        shown=("Axes of capacity and radius are logarithmic.", views.UNSTRUCTURED_MEANT, *views.sizes(geometry)),
        seeds=("Means and intervals of capacity and radius are geometric.",) if table["n"].max() > 1 else (),
        caveats=(
            *views.stability(geometry),
            *views.few_classes(geometry),
            *views.missing(geometry),
            *([text] if zero else []),
        ),
    )
