"""Figures 23 and 24: gradients of the two parts of the loss on rightly and on wrongly labelled examples."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from latentgen.caption import Caption
from latentgen.figures.geometry import views
from latentgen.figures.page import Curve, Drawing, Measure, Reader, axes, compose_layers, lines, style
from latentgen.numbers import gradients
from latentgen.numbers.gradients import (
    BETWEEN_GROUPS,
    BETWEEN_PARTS,
    INDEPENDENT,
    LABEL,
    NORM,
    PERMUTED,
    PROJECTION,
    RATIO,
    SELECTED,
    TOTAL,
    UNPERMUTED,
    Averaged,
)
from latentgen.numbers.results import Results

#: Colours and markers tell groups of examples, line styles and hollow markers parts of the loss.
_GROUPS = {
    **{group: {key: views.LOOKS[group][key] for key in ("color", "marker")} for group in (UNPERMUTED, PERMUTED)},
    SELECTED: {"color": style.series_style(4)["color"], "marker": "P"},
}
_STYLES = {LABEL: {"linestyle": "-"}, INDEPENDENT: style.hollow({}), TOTAL: {"linestyle": (0, (1, 1.2))}}
_PARTS = {LABEL: "label-dependent part", INDEPENDENT: "label-independent part", TOTAL: "total"}

_EXPECTED = {"color": "0.3", "linestyle": (0, (5, 2)), "linewidth": 0.7, "zorder": 1.5}


# --- figure 23 ------------------------------------------------------------------------------------


def norms(results: Results, reader: Reader) -> Drawing:
    """Figure 23, from the tables gradients and history."""
    averaged = gradients.norms(_wanted(results, [NORM], reader), results)
    table, groups = averaged.table, reader.looks(_GROUPS)
    parts = table["part"] != TOTAL
    ratios = table[(table["group"] != UNPERMUTED) & (table["part"] != INDEPENDENT) & table["ratio"].notna()]
    ratios = ratios.assign(**{name: ratios[column] for name, column in RATIO.items()}, line="ratios")
    shown = pd.concat(
        [table.assign(line=np.where(parts, "parts", "total"))[table["group"] != SELECTED], ratios], ignore_index=True
    )
    curves = _curves(groups)
    measures = {
        "parts": Measure("both parts,\nnorm / √parameters", curves, axes.log_axis),
        "total": Measure("total,\nnorm / √parameters", curves, axes.log_axis),
        "ratios": Measure("norm over that\non unpermuted", curves, _ratio_axis),
    }
    legend = list(_handles(table, groups))
    if ratios["expected_ratio"].notna().any():
        legend.append(Line2D([], [], label="1/(C \N{MINUS SIGN} 1)", **_EXPECTED))
    if len(ratios):
        legend.append(Line2D([], [], label="equal norms", **style.REFERENCE))
    return Drawing(compose_layers(shown, measures, legend), table, _caption(averaged, *_of_norms(table)))


def _ratio_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    marks = [1.0, *points["expected_ratio"].dropna()]
    axis = axes.log_axis(points, marks)

    def dress(ax: Axes) -> None:
        axis(ax)
        ax.axhline(1.0, **style.REFERENCE)
        for expected in marks[1:2]:
            ax.axhline(expected, **_EXPECTED)

    return dress


def _of_norms(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on what is shown."""
    if table["expected_ratio"].notna().any():
        yield (
            "Dashed grey, C classes: while the weights know nothing of which labels are wrong, the label-dependent "
            "gradient on permuted examples is expected to be \N{MINUS SIGN}1/(C \N{MINUS SIGN} 1) times that on "
            "unpermuted ones, and that on selected ones zero where new labels are drawn from all classes. The noise "
            "of finitely many examples adds to that, and dominates at the initialisation. After it, a permuted line at "
            "the dashed one says that nothing is memorised yet; one near 1, that wrong labels pull as much as right "
            "ones."
        )
    if table["n"].max() > 1:
        yield "Means and intervals are of logarithms: means are geometric."


# --- figure 24 ------------------------------------------------------------------------------------


def directions(results: Results, reader: Reader) -> Drawing:
    """Figure 24, from the tables gradients and history."""
    averaged = gradients.directions(_wanted(results, gradients.DIRECTIONS, reader), results)
    table, groups = averaged.table, reader.looks(_GROUPS)
    curves = _curves(groups)
    measures = {
        BETWEEN_GROUPS: Measure("cosine, permuted\nand unpermuted", curves, axes.cosine_axis),
        BETWEEN_PARTS: Measure("cosine, both parts\nof the loss", curves, axes.cosine_axis),
        PROJECTION: Measure("projection /\n√parameters", curves, axes.symmetric_axis),
    }
    drawn = table.assign(line=table["metric"])
    shown = ()
    if BETWEEN_GROUPS in set(table["metric"]):
        shown = (
            "While the weights know nothing of which labels are wrong, the cosine between the groups is expected to be "
            "\N{MINUS SIGN}1 for the label-dependent part, but for the noise of finitely many examples, which "
            "dominates at the initialisation.",
        )
    legend = [*_handles(table, groups), lines.handle("zero", style.REFERENCE)]
    return Drawing(compose_layers(drawn, measures, legend), table, _caption(averaged, *shown))


# --- both -----------------------------------------------------------------------------------------


def _wanted(results: Results, metrics: Iterable[str], reader: Reader) -> pd.DataFrame:
    """Rows of these metrics that the reader wants; by default of the whole network and of a few layers."""
    rows = reader.rows(gradients.rows(results, metrics), "layer")
    return gradients.of_few_layers(rows) if reader.layers is None else rows


def _curves(groups: Mapping[str, dict]) -> Callable[[pd.DataFrame], list[Curve]]:
    def curves(points: pd.DataFrame) -> list[Curve]:
        return [
            Curve(rows, {**groups[group], **_STYLES[part]}, stops={}, marks=2)
            for (part, group), rows in points.groupby(["part", "group"], sort=False)
        ]

    return curves


def _handles(table: pd.DataFrame, groups: Mapping[str, dict]) -> Iterator[Line2D]:
    for group, look in groups.items():
        if (table["group"] == group).any():
            yield lines.handle(group, {**look, "linestyle": ""})
    for part, label in _PARTS.items():
        if (table["part"] == part).any():
            yield lines.handle(label, {"color": "0.35", "marker": "o", **_STYLES[part]})


def _caption(averaged: Averaged, *shown: str) -> Caption:
    _, rows, empty = averaged
    caveats = []
    for levels, groups in empty.groupby("level")["group"].unique().items():
        there = " and ".join(group for group in _GROUPS if group in groups)
        caveats.append(f"No {there} examples at level {levels:g}.")
    undefined = np.isinf(rows["value"]).sum()
    if undefined:
        of = f"{undefined} of {len(rows)} values of single runs"
        caveats.insert(0, f"Zero or undefined, so not drawn with their means: {of}.")
    return Caption(shown=shown, caveats=tuple(caveats))
