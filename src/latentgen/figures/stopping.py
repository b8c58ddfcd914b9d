"""Figure 15: early stopping beside every probe and every intervention."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen import summary
from latentgen.figures import catalogue, layout, panels, spread, style
from latentgen.figures.averages import PAIR
from latentgen.figures.results import Results, probe_label
from latentgen.probes import compared
from latentgen.summary import GRID_POINT, RUNS
from latentgen.summary.selection import REWOUND
from latentgen.summary.text import intervention_label

#: Columns of the table behind the figure, after those of the grid point.
COLUMNS = [
    *["series", "quantity", "choice", "probe", "layer", "bias", "edit_epoch", "epoch", "mean", "low", "high"],
    *[
        "diff",
        "diff_low",
        "diff_high",
        "validation_diff",
        "validation_diff_low",
        "validation_diff_high",
        "n",
        "n_runs",
        *RUNS,
    ],
    *["fit_labels", "batch_norm", "split", "labels", "metric"],
]


#: Tables that the headline is made of.
_TABLES = ("probes", "history", *catalogue.INTERVENTIONS)


class _Mark(NamedTuple):
    """How a value is drawn: hollow where it is an oracle choice; ``offset`` from the middle of its line."""

    marker: str
    hollow: bool
    offset: float
    label: str


_LAST = _Mark("o", False, 0.0, "at the end; of probes on the last layer")
_BEST_LAYER = _Mark("o", True, 0.25, "at the end, best layer (oracle)")
_BEST_EPOCH = _Mark("D", True, -0.32, "at its best epoch; of probes and rewinding, best layer too (oracle)")
_HELD_OUT = _Mark("^", False, -0.16, "at the epoch, and layer, chosen on held-out noisy labels")

#: (quantity, choice) of the headline → its mark, in the order of the table.
_MARKS = {
    ("model_final", "fixed"): _LAST,
    ("model_best_epoch", "oracle"): _BEST_EPOCH,
    ("model_best_epoch", "validation"): _HELD_OUT,
    ("probe_final_last_layer", "fixed"): _LAST,
    ("probe_final_best_layer", "oracle"): _BEST_LAYER,
    ("probe_best_epoch_best_layer", "oracle"): _BEST_EPOCH,
    ("probe_best_epoch_best_layer", "validation"): _HELD_OUT,
    ("transfer_final", "fixed"): _LAST,
    ("transfer_best_epoch", "oracle"): _BEST_EPOCH,
    ("transfer_best_epoch", "validation"): _HELD_OUT,
    ("edit_final", "fixed"): _LAST,
    ("edit_control_final", "fixed"): _LAST,
    ("relabel_final", "fixed"): _LAST,
    ("rewind_none", "fixed"): _LAST,
    **{(f"rewind_{kind}_best", "oracle"): _BEST_EPOCH for kind in ("all", *REWOUND)},
    **{(f"rewind_{kind}_best", "validation"): _HELD_OUT for kind in ("all", *REWOUND)},
}

#: Colour by what the value is of: the first word of its quantity.
_COLOURS = {
    **{"model": "black", "probe": style.series_style(0)["color"], "transfer": style.series_style(3)["color"]},
    **{"edit": style.series_style(2)["color"], "relabel": style.series_style(4)["color"]},
    "rewind": style.series_style(9)["color"],
}
#: Lines at early stopping, by how its epoch was chosen.
STOPPED = {
    "oracle": {"color": "0.35", "linewidth": 0.7, "linestyle": (0, (5, 1.5)), "zorder": 1},
    "validation": {"color": "0.35", "linewidth": 0.7, "linestyle": "-", "zorder": 1},
}

# Sizes in inches; a line takes more where held-out labels add a mark.
_ROW, _MORE, _TITLE, _TICKS, _LINE, _COLUMNS = 0.15, 0.05, 0.2, 0.3, 0.125, 3


class _Cell(NamedTuple):
    """One panel: the ``points`` of one level on the lines ``series``; the first of a line of panels is labelled."""

    points: pd.DataFrame
    series: Sequence[str]
    title: str
    label: str | None


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 15, from `latentgen.summary.headline` of all tables that the grid has.

    Raises ``ValueError`` where the tables lack test accuracies of the models or of probes.
    """
    headline = results.headline
    if headline is None:
        headline = summary.headline(**{name: getattr(results, name) for name in _TABLES})
    # MASC with fewer axes is the subject of figure 11, with networks that have no other probe.
    ablated = headline["probe"].isin(compared.thresholds(results.settings)[:-1])
    others = headline.loc[headline["probe"].notna() & ~ablated, PAIR].drop_duplicates()
    table = _table(headline[~ablated].merge(others, on=PAIR))
    footer = _footer(table)
    if ablated.any():
        footer.append("MASC with fewer axes is left to Figure 11.")
    return _figure(table, footer), table


def _table(headline: pd.DataFrame) -> pd.DataFrame:
    kinds = pd.MultiIndex.from_frame(headline[["quantity", "choice"]])
    shown = headline[kinds.isin(list(_MARKS))].copy()
    shown["series"] = [_series(row) for row in shown.itertuples()]
    # A difference has the names of its quantity; edits of several layers differ by layer.
    key = [*GRID_POINT, "probe", "batch_norm", "bias", "edit_epoch", "layer", "quantity"]
    for choice, column in (("oracle", "diff"), ("validation", "validation_diff")):
        gaps = headline[headline["quantity"].str.endswith("_minus_model_best_epoch") & (headline["choice"] == choice)]
        gaps = gaps.assign(quantity=gaps["quantity"].str.removesuffix("_minus_model_best_epoch"))
        gaps = gaps.rename(columns={"mean": column, "low": f"{column}_low", "high": f"{column}_high"})
        values = [column, f"{column}_low", f"{column}_high"]
        # What is fixed was compared with both ways of stopping, what was chosen with its own.
        fitting = shown["choice"].isin(["fixed", choice])
        found = shown.loc[fitting, key].merge(gaps[[*key, *values]], on=key, how="left", validate="one_to_one")
        shown.loc[fitting, values] = found[values].to_numpy()
    shown = shown.assign(split="test", labels="true", metric="accuracy")
    return shown.reindex(columns=[*GRID_POINT, *COLUMNS]).reset_index(drop=True)


def _series(row: Any) -> str:
    """Name of the line on which a row of the headline stands."""
    if row.quantity.startswith("model"):
        return "network"
    if not row.quantity.startswith("probe"):
        return intervention_label(row)
    label = probe_label(row.probe)
    return label if row.fit_labels == "given" else f"{label} [{row.fit_labels}]"


def _figure(table: pd.DataFrame, footer: list[str]) -> Figure:
    several_n = table["n"].nunique() > 1
    levels = sorted(table["level"].unique())
    pairs = {pair: list(dict.fromkeys(block["series"])) for pair, block in table.groupby(PAIR, sort=False)}
    longest = max(style.text_width(series) for all_series in pairs.values() for series in all_series)
    row = _ROW + _MORE * (table["choice"] == "validation").any()
    lines = []
    for pair, block in table.groupby(PAIR, sort=False):
        by_level = dict(list(block.groupby("level")))
        for shown in layout.in_lines(levels, _COLUMNS):
            there = [level for level in shown if level in by_level]
            if not there:
                continue
            present = set(block.loc[block["level"].isin(there), "series"])
            series = [name for name in pairs[pair] if name in present]
            cells: list[_Cell | None] = [None] * len(shown)
            for place, level in enumerate(shown):
                if level in by_level:
                    points, first = by_level[level], level == there[0]
                    n = f"\nn = {panels.spanned(points['n'])}" if several_n else ""
                    label = "\n".join(layout.named(pair, len(series) * row)) if first else None
                    cells[place] = _Cell(points, series, f"corruption {level:g}{n}", label)
            above = _TITLE + several_n * _LINE + _LINE
            lines.append(layout.Line(cells, len(series) * row + 0.1, above, _TICKS))
    labels = [cell.label for line in lines for cell in line.cells if cell is not None and cell.label]
    left = longest + 0.17 + _LINE * max(1 + label.count("\n") for label in labels)
    fig, placed = layout.page(lines, _handles(table), footer, left=left)
    for cell, ax in (panel for line in placed for panel in line):
        _panel(ax, cell)
    return fig


def _panel(ax: Axes, cell: _Cell) -> None:
    place = {series: -index for index, series in enumerate(cell.series)}
    for y in place.values():
        ax.axhline(y, color="0.93", linewidth=0.5, zorder=0)
    for row in cell.points.itertuples():
        mark = _MARKS[row.quantity, row.choice]
        colour, y = _COLOURS[row.quantity.split("_")[0]], place[row.series] + mark.offset
        if row.quantity == "model_best_epoch":
            ax.axvline(100 * row.mean, **STOPPED[row.choice])
        spread.across(ax, y, cell.points.loc[[row.Index]], colour, width=0.6)
        ax.plot(100 * row.mean, y, **_looks(mark, colour))
    ax.set_xlim(layout.limits(cell.points))
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set_ylim(-len(cell.series) + 0.4, 0.6)
    ax.set_yticks(list(place.values()), list(place) if cell.label else [""] * len(place))
    ax.tick_params(axis="y", length=0)
    ax.set_title(cell.title, pad=3)
    ax.set_xlabel("test accuracy (%)", labelpad=1)
    if cell.label:
        ax.set_ylabel(cell.label, labelpad=3, linespacing=1.2)


def _looks(mark: _Mark, colour: str) -> dict[str, Any]:
    face = "white" if mark.hollow else colour
    shape = {"marker": mark.marker, "markersize": 3.2 if mark.marker == "o" else 2.8, "linestyle": ""}
    return {**shape, "color": colour, "markerfacecolor": face, "markeredgewidth": 0.7, "zorder": 3}


def _handles(table: pd.DataFrame) -> list[Line2D]:
    there = set(zip(table["quantity"], table["choice"], strict=True))
    marks = dict.fromkeys(mark for kind, mark in _MARKS.items() if kind in there)
    handles = [Line2D([], [], label=mark.label, **_looks(mark, "0.3")) for mark in marks]
    handles.append(Line2D([], [], label="early stopping (oracle)", **STOPPED["oracle"]))
    if ("model_best_epoch", "validation") in there:
        handles.append(Line2D([], [], label="early stopping on held-out noisy labels", **STOPPED["validation"]))
    return handles


def _footer(table: pd.DataFrame) -> list[str]:
    text = [
        "Accuracy in % on test examples (true labels) of the networks, of probes on their layers, and of networks "
        "after interventions. Hollow: an oracle choice, made on test data; filled: nothing is chosen, or it is on "
        "held-out noisy labels. Networks are measured after every epoch, probes and transfer at the saved ones.",
        "Probes are fitted on the given (noisy) labels of the training examples"
        + (", or those in brackets." if (table["fit_labels"].dropna() != "given").any() else "."),
    ]
    kinds = {quantity.split("_")[0] for quantity in table["quantity"]}
    if "transfer" in kinds:
        text.append("Transfer: the readout replaced by the axes of VeLPIC.")
    if "edit" in kinds:
        text.append("Edited at an epoch: so replaced, and trained on; continued from it: the same without the edit.")
    if "relabel" in kinds:
        text.append(
            "Relabelled: trained from scratch on the labels that a probe on that layer gave the training examples."
        )
    if "rewind" in kinds:
        text.append(
            "Rewound: the network at its end, a single layer or the first or last layers put back to the weights of a "
            "saved epoch, whichever layers and epoch are best; the best of more candidates is the higher by chance. "
            "None, all layers: what that is compared with, the network as it ends and at its best saved epoch, on the "
            "same examples, with statistics treated alike."
        )
    if (table["batch_norm"] == "reestimated").any():
        text.append("Re-estimated: statistics of batch normalisation computed anew on training images after that.")
    text += layout.seeds(table, "bars", "ticks")
    text.append(
        "Each panel has an axis of its own; differences to early stopping, paired within runs, are in the table."
    )
    return text
