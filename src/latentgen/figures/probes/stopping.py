"""Figure 15: every probe and every intervention compared with early stopping."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen import summary
from latentgen.caption import Caption
from latentgen.figures import catalogue
from latentgen.figures.numbers.averages import PAIR
from latentgen.figures.numbers.results import Results, masc_keeps, probe_label
from latentgen.figures.page import Drawing, Panel, Reader, Row, axes, compose, facets, sentences, spread, style
from latentgen.probes import compared
from latentgen.summary import FEWEST, GRID_POINT, RUNS
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
_BEST_LAYER = _Mark("o", True, 0.2, "at the end, best layer (oracle)")
_BEST_EPOCH = _Mark("D", True, -0.25, "best epoch; of probes and rewinding, best layer too (oracle)")
_HELD_OUT = _Mark("^", False, -0.12, "epoch, and layer, chosen on held-out noisy labels")

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

#: Inches: height of a line, width of a panel, and what names of lines take more than numbers at an axis.
_LINE, _PANEL, _NAMES = 0.15, 2.5, 0.9


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 15, from `latentgen.summary.headline` of all tables that the grid has.

    Raises ``ValueError`` where the tables lack test accuracies of the models or of probes.
    """
    headline = results.headline
    if headline is None:
        headline = summary.headline(**{name: getattr(results, name) for name in _TABLES})
    # MASC with fewer axes is the subject of figure 11, with networks that have no other probe.
    ablated = headline["probe"].isin(compared.thresholds(results.settings)[:-1])
    others = headline.loc[headline["probe"].notna() & ~ablated, PAIR].drop_duplicates()
    table = reader.rows(_table(headline[~ablated].merge(others, on=PAIR)))
    colours = {
        name: look["color"]
        for name, look in reader.looks({name: {"color": colour} for name, colour in _COLOURS.items()}).items()
    }
    compared_with = _differences(table)
    limits, n, rows = _limits(compared_with), facets.numbers(table), []
    for pair, block in facets.pairs(table):
        gaps = compared_with.loc[block.index].dropna(subset="mean")
        series = list(dict.fromkeys(gaps["series"]))

        def panel(level: float, points: pd.DataFrame, gaps=gaps, series=series) -> Panel:
            of_level = gaps.loc[gaps["level"] == level]

            def fill(ax: Axes) -> None:
                _fill(ax, of_level, series, colours, limits)

            return Panel(fill, _title(level, points, n(points)), "points above\nearly stopping")

        for shown in facets.levels(block):
            rows.append(
                Row(facets.beside(block, shown, panel), _LINE * len(series) + 0.1, heading=facets.heading(pair))
            )
    # Names of lines take more room than numbers do, and are as long beside one panel as beside several.
    width = _PANEL + _NAMES / max(len(row.panels) for row in rows)
    pages = compose(rows, _handles(compared_with), panel_width=width)
    return Drawing(pages, table, _caption(table, results, bool(ablated.any())))


def _differences(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table with ``mean, low, high`` of the difference to early stopping by the same choice.

    What is fixed is compared with the oracle. Runs of a few data seeds have no difference of their own in the table.
    """
    held_out = table["choice"] == "validation"
    found = table.assign(**dict.fromkeys(RUNS, float("nan")))
    for column in ("", "_low", "_high"):
        gap = table[f"diff{column}"].mask(held_out, table[f"validation_diff{column}"])
        found[column.removeprefix("_") or "mean"] = gap.astype(float)
    # Those of rewound layers are to all layers put back, which is not where the others have their zero.
    own = found["quantity"].isin([f"rewind_{kind}_best" for kind in REWOUND])
    stopped = table[table["quantity"] == "model_best_epoch"].set_index([*GRID_POINT, "choice"])["mean"]
    at = pd.MultiIndex.from_frame(table[[*GRID_POINT, "choice"]])
    found.loc[own, "mean"] = (table["mean"] - stopped.reindex(at).to_numpy())[own]
    found.loc[own, ["low", "high"]] = float("nan")
    return found


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
        mark = _MARKS[row.quantity, row.choice]
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


def _looks(mark: _Mark, colour: str) -> dict[str, Any]:
    face = "white" if mark.hollow else colour
    shape = {"marker": mark.marker, "markersize": 3.2 if mark.marker == "o" else 2.8, "linestyle": ""}
    return {**shape, "color": colour, "markerfacecolor": face, "markeredgewidth": 0.7, "zorder": 3}


def _handles(table: pd.DataFrame) -> list[Line2D]:
    there = set(zip(table["quantity"], table["choice"], strict=True))
    marks = dict.fromkeys(mark for kind, mark in _MARKS.items() if kind in there)
    handles = [Line2D([], [], label=mark.label, **_looks(mark, "0.3")) for mark in marks]
    return [*handles, Line2D([], [], label="early stopping", color="0.35", linewidth=0.7)]


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
    if row.quantity.startswith("relabel"):
        return f"relabelled by {probe_label(row.probe)}, {row.layer}"
    if not row.quantity.startswith("probe"):
        return intervention_label(row)
    label = probe_label(row.probe)
    return label if row.fit_labels == "given" else f"{label} [{row.fit_labels}]"


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
