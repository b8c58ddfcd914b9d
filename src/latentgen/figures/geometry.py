"""Figures 16 and 17: mean-field geometry of class manifolds, by layer and over training."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen import summary
from latentgen.activations import INPUT
from latentgen.figures import averages, axes, by_layer, layered, layout, views
from latentgen.figures.averages import PAIR
from latentgen.figures.layered import Curve, Measure
from latentgen.figures.results import Results
from latentgen.figures.tidy import in_order, undefined_kept
from latentgen.summary import GRID_POINT, RUN, RUNS

#: Columns of the tables behind the figures, after those of the grid point.
BY_LAYER = [
    *["at", "choice", "first_epoch", "last_epoch", "layer", "depth", "view", "metric", "mean", "low", "high"],
    *["n", "n_runs", *RUNS, "error", "spread", "unstructured"],
]
OVER_TRAINING = [
    *[
        "layer",
        "depth",
        "view",
        "metric",
        "epoch",
        "mean",
        "low",
        "high",
        "n",
        "n_runs",
        "n_measured",
        "carried",
        *RUNS,
    ],
    *["unstructured", *layered.BEST],
]

_MEANT = (
    "Mean-field theory, after the axes that class centres share are removed: capacity in classes per feature and "
    "radius (in norms of what is left of the class's centre), both on logarithmic axes, and dimension; radius and "
    "dimension are means over classes"
)


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 16 or 17, from the tables geometry and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    return _by_layer(results) if name == "fig16" else _over_training(results)


# --- figure 16 ------------------------------------------------------------------------------------


def _by_layer(results: Results) -> tuple[Figure, pd.DataFrame]:
    geometry = views.rows(results, _MEASURES)
    shown = geometry.merge(views.epochs(geometry, results), on=[*RUN, "epoch"])
    at = [*GRID_POINT, "at"]
    by = [*at, "layer", "depth", "view", "metric"]
    of_runs = shown.groupby(by, as_index=False)[["error", "spread", "unstructured"]].mean()
    ranges = shown.groupby(at, as_index=False).agg(first_epoch=("epoch", "min"), last_epoch=("epoch", "max"))
    table = summary.over_seeds(undefined_kept(shown), by).merge(of_runs, on=by).merge(ranges, on=at)
    table["choice"] = table["at"].map({"best epoch": "oracle", "last epoch": "fixed"})
    table = _tidy(table, geometry, ["at", "metric", "view", "depth"], BY_LAYER)
    footer = [
        f"{_MEANT}; centre correlation: mean |cosine| between class centres before that.",
        views.GROUPED,
        *views.sizes(shown),
        *layout.seeds(table, "bands", "thin lines"),
        f"Best epoch: {views.BEST_EPOCH}; last: the last measured one. Both share their axes.",
        *views.stability(shown),
        *views.missing(shown),
    ]
    return by_layer.draw(table, _MEASURES, _handles(table), footer), table


# --- figure 17 ------------------------------------------------------------------------------------


def _over_training(results: Results) -> tuple[Figure, pd.DataFrame]:
    measures = {name: _MEASURES[name] for name in ("capacity", "radius", "dimension")}
    measured = views.rows(results, measures)
    geometry = pd.concat([_chosen(of_pair) for _, of_pair in measured.groupby(PAIR, sort=False)])
    best = layered.best_epochs(views.epochs(measured, results))
    there = undefined_kept(geometry)
    unstructured = there.groupby(GRID_POINT, as_index=False)["unstructured"].mean()
    table = averages.over_epochs(there, [*GRID_POINT, "layer", "depth", "view", "metric"])
    table = table.merge(unstructured, on=GRID_POINT).merge(best, on=GRID_POINT)
    table = _tidy(table, geometry, ["metric", "depth", "view", "epoch"], OVER_TRAINING)
    footer = [
        f"{_MEANT}. Of many layers {layered.MOST}, even over depth, the last included; not the input, which training "
        "leaves as it is. The panels of a line share their axis.",
        views.GROUPED,
        *views.sizes(geometry),
        *layered.sentences(table),
        *views.stability(geometry),
        *views.missing(geometry),
    ]
    return layered.draw(table.assign(line=table["metric"]), measures, _handles(table), footer), table


def _chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a few layers of one model."""
    return rows[rows["layer"].isin(layered.few(averages.layers(rows[rows["layer"] != INPUT])))]


# --- both -----------------------------------------------------------------------------------------


def _tidy(table: pd.DataFrame, geometry: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Means that are defined, in order."""
    table = table[np.isfinite(table["mean"])]
    return in_order(table, geometry, by, {"metric": _MEASURES, "view": views.LOOKS})[[*GRID_POINT, *columns]]


def _curves(points: pd.DataFrame) -> list[Curve]:
    return [Curve(points[points["view"] == view], look) for view, look in views.LOOKS.items()]


def _axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    return axes.short_axis(points, log=False)


def _log_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    """Where one class whose centre all but vanishes with the axes may be far above the others."""
    return axes.short_axis(points, log=True)


def _capacity_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    unstructured = points["unstructured"].mean()
    axis = axes.short_axis(points, [unstructured], log=True)

    def dress(ax: Axes) -> None:
        axis(ax)
        # Over bands, under lines.
        ax.axhline(unstructured, **{**views.UNSTRUCTURED, "zorder": 1.5})

    return dress


#: What each line of panels shows; figure 17 leaves the last out.
_MEASURES = {
    "capacity": Measure("capacity", _curves, _capacity_axis),
    "radius": Measure("radius", _curves, _log_axis),
    "dimension": Measure("dimension", _curves, _axis),
    "center_correlation": Measure("centre corr.", _curves, _axis),
}


def _handles(table: pd.DataFrame) -> list[Line2D]:
    return [*views.handles(table["view"]), Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED)]
