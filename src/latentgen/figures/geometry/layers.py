"""Figures 16 and 17: mean-field geometry of class manifolds, by layer and over training."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from latentgen.caption import Caption
from latentgen.figures.geometry import views
from latentgen.figures.page import (
    Curve,
    Drawing,
    Measure,
    Panel,
    Reader,
    Row,
    axes,
    compose,
    compose_layers,
    facets,
    layers,
)
from latentgen.numbers import averages, geometry
from latentgen.numbers.epochs import best_and_last, best_ranges
from latentgen.numbers.results import Results


class _Shown(NamedTuple):
    """A measure in the figures: label of its axis, and the axis from some rows."""

    label: str
    axis: Callable[[pd.DataFrame], Callable[[Axes], None]]


# --- figure 16 ------------------------------------------------------------------------------------

#: The epochs that panels beside one another show, and the most levels beside one another.
_AT, _BESIDE = ("best epoch", "last epoch"), 2
_HEIGHT = 0.85


def by_layers(results: Results, reader: Reader) -> Drawing:
    """Figure 16, from the tables geometry and history."""
    measured = geometry.rows(results, geometry.MEASURES)
    shown = reader.rows(geometry.at_best_and_last(measured, results), "layer")
    table = geometry.by_layer(shown, measured)
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
    """Figure 17, from the tables geometry and history."""
    measured = geometry.rows(results, geometry.THEORY)
    shown = reader.rows(measured, "layer")
    if reader.layers is None:
        shown = geometry.of_few_layers(shown)
    table = geometry.over_training(shown, best_ranges(best_and_last(measured, results)))
    looks = reader.looks(views.LOOKS)

    def curves(points: pd.DataFrame) -> list[Curve]:
        return [Curve(points[points["view"] == view], look, stops={}, marks=2) for view, look in looks.items()]

    measures = {name: Measure(_MEASURES[name].label, curves, _MEASURES[name].axis) for name in geometry.THEORY}
    caption = _caption(table, shown)
    return Drawing(compose_layers(table.assign(line=table["metric"]), measures, _handles(table, looks)), table, caption)


# --- both -----------------------------------------------------------------------------------------


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


def _caption(table: pd.DataFrame, rows: pd.DataFrame) -> Caption:
    zero = (rows["metric"].isin(geometry.LOGARITHMIC) & (rows["value"] <= 0)).sum()
    text = f"Zero, so left out of logarithmic axes: {zero} of {len(rows)} values of single runs."
    return Caption(
        shown=("Axes of capacity and radius are logarithmic.", views.UNSTRUCTURED_MEANT, *views.sizes(rows)),
        seeds=("Means and intervals of capacity and radius are geometric.",) if table["n"].max() > 1 else (),
        caveats=(
            *views.stability(rows),
            *views.few_classes(rows),
            *views.missing(rows),
            *([text] if zero else []),
        ),
    )
