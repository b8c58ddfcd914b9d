"""Figure 15: every probe and every intervention compared with early stopping."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen.caption import Caption
from latentgen.figures.page import Drawing, Panel, Reader, Row, axes, compose, facets, sentences, spread, style
from latentgen.numbers.results import Results, masc_keeps
from latentgen.numbers.stopping import SHOWN, compared_with_stopping, differences
from latentgen.summary import FEWEST


class _Mark(NamedTuple):
    """How a value is drawn: hollow where it is an oracle choice; ``offset`` from the middle of its line."""

    marker: str
    hollow: bool
    offset: float
    label: str


_LAST = _Mark("o", False, 0.0, "at the end; of probes on the last layer")
_BEST_LAYER = _Mark("o", True, 0.2, "at the end, best layer (oracle)")
_BEST_EPOCH = _Mark("D", True, -0.25, "best epoch; of probes and rewinding, best layer too (oracle)")
_HELD_OUT = _Mark("^", False, -0.12, "epoch, and layer, chosen on held-out noisy labels")

#: Colour by what the value is of: the first word of its quantity.
_COLOURS = {
    **{"model": "black", "probe": style.series_style(0)["color"], "transfer": style.series_style(3)["color"]},
    **{"edit": style.series_style(2)["color"], "relabel": style.series_style(4)["color"]},
    "rewind": style.series_style(9)["color"],
}

#: Inches: height of a line, width of a panel, and what names of lines take more than numbers at an axis.
_LINE, _PANEL, _NAMES = 0.15, 2.5, 0.9


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 15, from `latentgen.summary.headline` of all tables that the grid has."""
    table, ablated = compared_with_stopping(results)
    table = reader.rows(table)
    colours = {
        name: look["color"]
        for name, look in reader.looks({name: {"color": colour} for name, colour in _COLOURS.items()}).items()
    }
    gaps = differences(table)
    limits, n, rows = _limits(gaps), facets.numbers(table), []
    for pair, block in facets.pairs(table):
        of_pair = gaps.loc[block.index].dropna(subset="mean")
        series = list(dict.fromkeys(of_pair["series"]))

        def panel(level: float, points: pd.DataFrame, of_pair=of_pair, series=series) -> Panel:
            of_level = of_pair.loc[of_pair["level"] == level]

            def fill(ax: Axes) -> None:
                _fill(ax, of_level, series, colours, limits)

            return Panel(fill, _title(level, points, n(points)), "points above\nearly stopping")

        for shown in facets.levels(block):
            rows.append(
                Row(facets.beside(block, shown, panel), _LINE * len(series) + 0.1, heading=facets.heading(pair))
            )
    # Names of lines take more room than numbers do, and are as long beside one panel as beside several.
    width = _PANEL + _NAMES / max(len(row.panels) for row in rows)
    pages = compose(rows, _handles(gaps), panel_width=width)
    return Drawing(pages, table, _caption(table, results, ablated))


def _limits(gaps: pd.DataFrame) -> tuple[float, float]:
    """One axis for all panels, in points."""
    low, high = 100 * min(gaps["mean"].min(), 0.0), 100 * max(gaps["mean"].max(), 0.0)
    low, high = axes.held(low, high, 100 * spread.bounds(gaps), 1.0)
    margin = 0.06 * (high - low) + 1.0
    # Values of the highest marks stand at the right end.
    return low - margin, high + margin + 0.35 * (high - low)


def _title(level: float, points: pd.DataFrame, n: pd.Series | None) -> str:
    """Level, and the accuracies that all is compared with."""
    lines = [facets.title(level, n)]
    for label, quantity, choice in (
        ("stopped", "model_best_epoch", "oracle"),
        ("end", "model_final", "fixed"),
    ):
        own = points[(points["quantity"] == quantity) & (points["choice"] == choice)]
        lines += [f"{label}: {100 * value:.0f}\xa0%" for value in own["mean"]]
    return "\n".join(lines)


def _fill(
    ax: Axes,
    gaps: pd.DataFrame,
    series: Sequence[str],
    colours: Mapping[str, str],
    limits: tuple[float, float],
) -> None:
    place = {name: -index for index, name in enumerate(series)}
    ax.axvspan(0, limits[1], color="0.95", linewidth=0, zorder=0)
    ax.axvline(0, color="0.35", linewidth=0.7, zorder=1)
    # What was fitted on true labels is no rival of the others.
    rivals = gaps[gaps["fit_labels"].fillna("given") == "given"]
    highest = rivals.groupby(rivals["choice"] == "oracle")["mean"].idxmax() if len(rivals) else []
    for row in gaps.itertuples():
        mark = _mark(row.quantity, row.choice)
        colour, y = colours[row.quantity.split("_")[0]], place[row.series] + mark.offset
        spread.across(ax, y, gaps.loc[[row.Index]], colour, width=0.6)
        ax.plot(100 * row.mean, y, **_looks(mark, colour))
    both = gaps.loc[highest]
    for row in both.itertuples():
        # A filled and a hollow mark of one line have values over one another.
        shift = 0.0 if both["series"].nunique() > 1 else 0.36 if row.choice == "oracle" else -0.36
        value = sentences.signed(round(100 * row.mean)) if round(100 * row.mean) else "0"
        ax.text(limits[1], place[row.series] + shift, value, ha="right", va="center", zorder=5)
    there = set(gaps["series"])
    for name in (name for name in series if name not in there):
        ax.text(limits[1], place[name], "\N{EN DASH} ", color="0.5", ha="right", va="center")
    ax.set(xlim=limits, ylim=(-len(series) + 0.4, 0.6))
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set_yticks(list(place.values()), list(place))
    ax.tick_params(axis="y", length=0)


def _mark(quantity: str, choice: str) -> _Mark:
    """How a value of the headline is drawn."""
    if choice == "oracle":
        return _BEST_LAYER if quantity == "probe_final_best_layer" else _BEST_EPOCH
    return _LAST if choice == "fixed" else _HELD_OUT


def _looks(mark: _Mark, colour: str) -> dict[str, Any]:
    face = "white" if mark.hollow else colour
    shape = {"marker": mark.marker, "markersize": 3.2 if mark.marker == "o" else 2.8, "linestyle": ""}
    return {**shape, "color": colour, "markerfacecolor": face, "markeredgewidth": 0.7, "zorder": 3}


def _handles(table: pd.DataFrame) -> list[Line2D]:
    there = set(zip(table["quantity"], table["choice"], strict=True))
    marks = dict.fromkeys(_mark(*kind) for kind in SHOWN if kind in there)
    handles = [Line2D([], [], label=mark.label, **_looks(mark, "0.3")) for mark in marks]
    return [*handles, Line2D([], [], label="early stopping", color="0.35", linewidth=0.7)]


def _caption(table: pd.DataFrame, results: Results, ablated: bool) -> Caption:
    kinds = {quantity.split("_")[0] for quantity in table["quantity"]}
    shown = ["Dash: not run at that level."]
    shown += [text for kind, text in _MEANINGS.items() if kind in kinds]
    if (table["batch_norm"] == "reestimated").any():
        shown.append("Re-estimated: statistics of batch normalisation computed anew on training images after that.")
    if ablated:
        shown.append("MASC with fewer axes is left to Figure 11.")
    caveats = []
    if "rewind" in kinds:
        caveats += [
            "Early stopping chooses among all epochs, on all test examples; rewinding among saved ones, as does the "
            "hollow mark of none, all layers. Figure 22 compares both alike, with intervals, which are left out here.",
            "The best of more candidates is the higher by chance: rewinding has most.",
        ]
    return Caption(
        shown=tuple(shown),
        scored=masc_keeps(results.settings),
        seeds=sentences.over_seeds(table, _about_means(table["n"])),
        caveats=tuple(caveats),
    )


def _about_means(n: pd.Series) -> str:
    """What is drawn about means over ``n`` data seeds."""
    if n.max() < FEWEST:
        return "too few for an interval, the headline table has the runs"
    bars = "bars: 95\xa0% Student t interval of the difference, paired within runs"
    few = ((n > 1) & (n < FEWEST)).any()
    return bars + (f"; none where fewer than {FEWEST}, of which the headline table has the runs" if few else "")


#: What interventions are, by the first word of their quantities.
_MEANINGS = {
    "transfer": "Transfer: the readout replaced by the axes of VeLPIC.",
    "edit": "Edited at an epoch: so replaced, and trained on; continued from it: the same without the edit.",
    "relabel": "Relabelled: trained from scratch on the labels that a probe on that layer gave the training examples.",
    "rewind": "Rewound: the network at its end, a single layer or the first or last layers put back to the weights of "
    "a saved epoch, whichever layers and epoch are best. None, all layers: what that is compared with, the network as "
    "it ends and at its best saved epoch, on the same examples, with statistics treated alike.",
}
