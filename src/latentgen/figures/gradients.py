"""Figures 23 and 24: gradients of the two parts of the loss on rightly and on wrongly labelled examples."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures import axes, layered, spread, style, views
from latentgen.figures import gradient_tables as tables
from latentgen.figures.gradient_tables import (
    BETWEEN_GROUPS,
    BETWEEN_PARTS,
    INDEPENDENT,
    LABEL,
    LARGEST,
    PERMUTED,
    PROJECTION,
    RATIO,
    SELECTED,
    TOTAL,
    UNPERMUTED,
    Averaged,
)
from latentgen.figures.layered import Curve, Measure
from latentgen.figures.results import Results
from latentgen.summary import RUNS

#: Colours and markers tell groups of examples, line styles and hollow markers parts of the loss.
_GROUPS = {
    **{group: {key: views.LOOKS[group][key] for key in ("color", "marker")} for group in (UNPERMUTED, PERMUTED)},
    SELECTED: {"color": style.series_style(4)["color"], "marker": "P"},
}
_STYLES = {LABEL: {"linestyle": "-"}, INDEPENDENT: style.hollow({}), TOTAL: {"linestyle": (0, (1, 1.2))}}
_PARTS = {LABEL: "label-dependent part", INDEPENDENT: "label-independent part", TOTAL: "total"}

_PART = {"color": "0.35", "linewidth": 0.9, "marker": "o", "markersize": 3.0}
_EQUAL = {"color": "0.6", "linewidth": 0.6, "zorder": 1}
_EXPECTED = {"color": "0.3", "linestyle": (0, (5, 2)), "linewidth": 0.7, "zorder": 1.5}

_MEANT = (
    "Gradients of the mean loss of a group of training examples by the weights of one layer, or of all (network), in "
    "evaluation mode. The loss has a label-dependent part, minus the given label's logit above the mean logit, and a "
    "label-independent part, the logarithm of the sum of exponentials of the logits above that mean; both add to the "
    "total.",
    "Unpermuted: examples whose given label is the true one; permuted: mislabelled ones, with their given labels",
    f"Of many layers {layered.MOST}, even over depth, the first and the last included; the panels of a line share "
    "their axis.",
)


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 23 or 24, from the tables gradients and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    return _norms(results) if name == "fig23" else _directions(results)


# --- figure 23 ------------------------------------------------------------------------------------


def _norms(results: Results) -> tuple[Figure, pd.DataFrame]:
    averaged = tables.norms(results)
    table = averaged.table
    parts = table["part"] != TOTAL
    ratios = table[(table["group"] != UNPERMUTED) & (table["part"] != INDEPENDENT) & table["ratio"].notna()]
    ratios = ratios.assign(**{name: ratios[column] for name, column in RATIO.items()}, line="ratios")
    shown = pd.concat(
        [table.assign(line=np.where(parts, "parts", "total"))[table["group"] != SELECTED], ratios], ignore_index=True
    )
    measures = {
        "parts": Measure("both parts,\nnorm / √parameters", _curves, axes.log_axis),
        "total": Measure("total,\nnorm / √parameters", _curves, axes.log_axis),
        "ratios": Measure("norm over that\non unpermuted", _curves, _ratio_axis),
    }
    legend = [*_group_handles(table), *_part_handles(table)]
    if ratios["expected_ratio"].notna().any():
        legend.append(Line2D([], [], label="1/(C − 1)", **_EXPECTED))
    numbers = None if ratios.empty else _ratio_numbers
    return layered.draw(shown, measures, legend, _norms_footer(averaged), numbers=numbers), table


def _ratio_axis(points: pd.DataFrame):
    marks = [1.0, *points["expected_ratio"].dropna()]
    axis = axes.log_axis(points, marks)

    def dress(ax):
        axis(ax)
        ax.axhline(1.0, **_EQUAL)
        for expected in marks[1:2]:
            ax.axhline(expected, **_EXPECTED)

    return dress


def _ratio_numbers(points: pd.DataFrame) -> str:
    """Ratio of permuted to unpermuted at the first epoch after the initialisation, and its largest value early."""
    ratios = points[(points["group"] == PERMUTED) & (points["part"] == LABEL) & (points["line"] == "ratios")]
    first, largest = ratios.loc[ratios["epoch"] > 0, "ratio"].head(1), ratios[LARGEST["mean"]].dropna().head(1)
    return ", ".join([*(f"{value:.2f}" for value in first), *(f"max {value:.2f}" for value in largest)])


def _norms_footer(averaged: Averaged) -> list[str]:
    table = averaged.table
    meant, who, layers = _MEANT
    text = [meant, f"{who}; selected: drawn for corruption, mislabelled or not.", layers]
    if table["ratio"].notna().any():
        text.append(
            "Lowest panels: norm over that on the unpermuted examples of the same run. Numbers over the panels: this "
            "ratio of the label-dependent part on permuted examples, at the first epoch drawn after the "
            "initialisation; max: its largest value in each run from then on, up to the network's best epoch."
        )
    if table["expected_ratio"].notna().any():
        text.append(
            "Dashed grey, C classes: while the weights know nothing of which labels are wrong, the label-dependent "
            "gradient on permuted examples is expected to be −1/(C − 1) times that on unpermuted ones, and that on "
            "selected ones zero where new labels are drawn from all classes; finitely many examples add noise."
        )
    if table["n"].max() > 1:
        text.append("Means and intervals are of logarithms: means are geometric.")
    return [*text, *_common(averaged)]


# --- figure 24 ------------------------------------------------------------------------------------


def _directions(results: Results) -> tuple[Figure, pd.DataFrame]:
    averaged = tables.directions(results)
    table = averaged.table
    measures = {
        BETWEEN_GROUPS: Measure("permuted with\nunpermuted, cosine", _curves, axes.cosine_axis),
        BETWEEN_PARTS: Measure("one part with the\nother, cosine", _curves, axes.cosine_axis),
        PROJECTION: Measure("projection /\n√parameters", _signed, axes.symmetric_axis),
    }
    legend = [*_group_handles(table), *_part_handles(table)]
    return layered.draw(table.assign(line=table["metric"]), measures, legend, _directions_footer(averaged)), table


def _directions_footer(averaged: Averaged) -> list[str]:
    metrics = set(averaged.table["metric"])
    meant, who, layers = _MEANT
    text = [meant, f"{who}.", layers]
    if BETWEEN_GROUPS in metrics:
        text.append(
            "Permuted with unpermuted: cosine between the gradients of the two groups, of the total and of each part. "
            "While the weights know nothing of which labels are wrong, that of the label-dependent part is expected to "
            "be −1, but for the noise of finitely many examples."
        )
    if BETWEEN_PARTS in metrics:
        text.append("One part with the other: cosine between the two parts on the same examples, −1 where they cancel.")
    if PROJECTION in metrics:
        text.append(
            "Projection: on the direction of the total gradient of all training examples, which may turn from epoch to "
            "epoch; marks are joined while their sign stays, and paler, without band, where their interval includes "
            "zero, or runs have both signs. Its axis is linear between the ticks beside zero and logarithmic beyond."
        )
    return [*text, *_common(averaged)]


def _signed(points: pd.DataFrame) -> list[Curve]:
    """Lines that break where the sign changes, and marks, paler and without band where zero is not excluded."""
    found = []
    for rows, look, _ in _curves(points):
        unsure = spread.both_signs(rows)
        for sign in (1, -1):
            one = sign * rows["mean"] > 0
            line = rows.assign(mean=rows["mean"].where(one))
            line[["low", "high"]] = rows[["low", "high"]].where(one & ~unsure)
            line[RUNS] = rows[RUNS].where(one)
            found.append(Curve(line, {**look, "marker": ""}))
        for chosen, alpha in ((~unsure, 1.0), (unsure, 0.35)):
            marks = rows.assign(mean=rows["mean"].where(chosen), **dict.fromkeys(["low", "high", *RUNS], np.nan))
            found.append(Curve(marks, {**look, "linestyle": "", "markersize": 1.9, "alpha": alpha}, True))
    return [curve for curve in found if curve.points["mean"].notna().any()]


# --- both -----------------------------------------------------------------------------------------


def _curves(points: pd.DataFrame) -> list[Curve]:
    return [
        Curve(rows, {**_GROUPS[group], **_STYLES[part]})
        for (part, group), rows in points.groupby(["part", "group"], sort=False)
    ]


def _group_handles(table: pd.DataFrame) -> Iterable[Line2D]:
    for group, look in _GROUPS.items():
        if (table["group"] == group).any():
            yield Line2D([], [], label=group, linestyle="", markersize=3.6, markeredgewidth=0, **look)


def _part_handles(table: pd.DataFrame) -> Iterable[Line2D]:
    for part, label in _PARTS.items():
        if (table["part"] == part).any():
            yield Line2D([], [], label=label, **_PART, **_STYLES[part])


def _common(averaged: Averaged) -> list[str]:
    """Sentences on seeds, the best epoch, the axis of epochs, groups without examples and undefined values."""
    table, rows, empty = averaged
    text = layered.sentences(table)
    for levels, groups in empty.groupby("level")["group"].unique().items():
        text.append(
            f"No {' and '.join(group for group in _GROUPS if group in groups)} examples at corruption {levels:g}."
        )
    undefined = np.isinf(rows["value"]).sum()
    if undefined:
        text.append(
            f"Zero or undefined, so not drawn with their means: {undefined} of {len(rows)} values of single runs."
        )
    return text
