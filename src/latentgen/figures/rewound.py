"""Figure 22: the best rewinding of each layer beside early stopping."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen import summary
from latentgen.figures import layout, panels, rewinds, spread, style
from latentgen.figures.foot import LINE
from latentgen.figures.results import Results
from latentgen.figures.stopping import STOPPED
from latentgen.summary import GRID_POINT, RUN, RUNS
from latentgen.summary.selection import (
    REWOUND,
    at_end,
    best,
    rewind_accuracy,
    selections,
    transfer_accuracy,
    whole_sets,
)

#: Columns of the table behind the figure, after those of the grid point.
COLUMNS = [
    *["series", "at", "choice", "layer", "depth", "parameters", "batch_norm", "bias", "epoch", "mean", "low", "high"],
    *["diff", "diff_low", "diff_high", "n", "n_runs", *RUNS, "view", "metric"],
]

_SET = ["kind", "layer", "depth", "parameters", "batch_norm"]

#: (at, choice) → marker, whether it is hollow, and what the legend says.
_MARKS = {
    ("best epoch", "oracle"): ("o", True, "at the best saved epoch (oracle)"),
    ("best epoch", "validation"): ("^", False, "at the epoch chosen on held-out noisy labels"),
    ("initialisation", "fixed"): ("D", False, "at epoch 0, re-initialised"),
    ("redrawn", "fixed"): ("x", False, "re-randomised: another initialisation"),
}
_SERIES = (*REWOUND, "model", "transfer")

#: (series, choice) → look of its line.
_LINES = {
    ("model", "fixed"): {**panels.NETWORK, "zorder": 1},
    ("model", "oracle"): STOPPED["oracle"],
    ("model", "validation"): STOPPED["validation"],
    ("transfer", "fixed"): {"color": style.series_style(3)["color"], "linestyle": style.DASH_DOT, "linewidth": 0.9},
}
_LABELS = {
    ("model", "fixed"): "network at its end",
    ("model", "oracle"): "all layers put back: early stopping (oracle)",
    ("model", "validation"): "early stopping on held-out noisy labels",
    ("transfer", "fixed"): "weight transfer at the end, zero bias",
}

# Sizes in inches; a layer takes more room where it has more marks.
_ROW, _MORE, _LEAST, _TICKS = 0.125, 0.06, 0.9, 0.34


class _Cell(NamedTuple):
    """One panel: its marks, the rows that are lines, layers in order of depth, and its limits in percent."""

    marks: pd.DataFrame
    lines: pd.DataFrame
    layers: Sequence[str]
    limits: tuple[float, float]
    chance: float | None
    title: str
    label: str | None


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 22, from the tables rewind, history and, where there is one, transfer.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    rewind = rewinds.rows(results)
    table = _table(results, rewind)
    return _figure(table, results.chance, _footer(table, results, rewind)), table


def _table(results: Results, rewind: pd.DataFrame) -> pd.DataFrame:
    own = rewinds.networks(rewind)
    parts = [
        _summarised(runs, ["batch_norm"], own).assign(
            series="model", at="end" if choice == "fixed" else "best epoch", choice=choice
        )
        for choice, runs in own.items()
    ]
    parts.append(_transferred(results, rewind))
    proper = rewind[~whole_sets(rewind)]
    saved, held_out = rewind_accuracy(proper), rewind_accuracy(proper, view="validation")
    for choice, selection in selections(saved, held_out):
        chosen = best(selection, saved, ["epoch"], [*RUN, *_SET])
        parts.append(_summarised(chosen, _SET, own, choice).assign(at="best epoch", choice=choice))
    alone = proper[(proper["view"] == "test") & (proper["kind"] == "alone")]
    initial = saved[(saved["epoch"] == 0) & (saved["kind"] == "alone")]
    for at, rows in (("initialisation", initial), ("redrawn", rewinds.redrawn(alone).assign(epoch=0))):
        if len(rows):
            parts.append(_summarised(rows, _SET, own).assign(at=at, choice="fixed"))
    table = pd.concat(parts, ignore_index=True)
    table["series"] = table["series"].fillna(table["kind"])
    return rewinds.tidy(table.assign(view="test", metric="accuracy"), results, COLUMNS, _SERIES)


def _transferred(results: Results, rewind: pd.DataFrame) -> pd.DataFrame:
    """Weight transfer, on all test examples and with the network's own statistics; so it has no paired difference."""
    rows = transfer_accuracy(results.transfer[results.transfer["bias"] == "zero"])
    rows = at_end(rows.merge(rewind[RUN].drop_duplicates(), on=RUN))
    return _summarised(rows, [], {}).assign(series="transfer", at="end", choice="fixed", bias="zero")


def _summarised(rows: pd.DataFrame, by: Sequence[str], own: dict[str, pd.DataFrame], choice: str = "oracle"):
    """Means over data seeds, mean epochs, and paired differences to early stopping by ``choice``, if there is one.

    ``own`` : networks by choice, of the same ways with batch normalisation
    """
    by = [*GRID_POINT, *by]
    table = summary.over_seeds(rows, by).merge(rows.groupby(by, as_index=False)["epoch"].mean(), on=by)
    if choice not in own:
        return table
    alike = [*RUN, "batch_norm"]
    early = own[choice][[*alike, "value"]].rename(columns={"value": "early"})
    gaps = rows.merge(early, on=alike, validate="many_to_one")
    gaps = summary.over_seeds(gaps.assign(value=gaps["value"] - gaps["early"]), by)
    columns = {"mean": "diff", "low": "diff_low", "high": "diff_high"}
    return table.merge(gaps.rename(columns=columns)[[*by, *columns.values()]], on=by)


def _figure(table: pd.DataFrame, chance: dict[str, float], footer: Sequence[str]) -> Figure:
    names, room = layout.names(table, 1.2)
    longest = max((style.text_width(layer) for layer in table["layer"].dropna()), default=0.0)
    left = 0.15 + longest + room
    initial = table["at"].isin(["initialisation", "redrawn"]).any()
    # Other panels seldom reach down to chance.
    chance = chance if initial else {}
    lines = []
    for point, block in table.groupby(GRID_POINT, sort=False):
        drawn = block[block["layer"].isna()]
        marks = block[block["layer"].notna()]
        layers = list(marks.drop_duplicates("layer").sort_values("depth")["layer"])
        stopped = marks[marks["at"] == "best epoch"]
        limits = layout.limits(pd.concat([drawn, stopped]))
        several = len(stopped[["batch_norm", "choice"]].drop_duplicates())
        cells = []
        for kind in REWOUND:
            label = names[point[:3]] if kind == REWOUND[0] else None
            of_kind = stopped[stopped["series"] == kind]
            title = _title(block, rewinds.KINDS[kind])
            cells.append(_Cell(of_kind, drawn, layers, limits, chance.get(point[0]), title, label))
        if initial:
            at_first = marks[marks["at"] != "best epoch"]
            guess = chance.get(point[0])
            shown = [drawn, at_first] + ([] if guess is None else [pd.DataFrame({"mean": [guess]})])
            room = layout.limits(pd.concat(shown))
            title = _title(block, "single layer, initial weights")
            cells.append(_Cell(at_first, drawn, layers, room, guess, title, None) if len(at_first) else None)
        height = max((_ROW + _MORE * (several - 1)) * len(layers) + 0.05, _LEAST)
        lines.append(layout.Line(cells, height, 0.12 + 2 * LINE, _TICKS))
    fig, placed = layout.page(lines, _handles(table, chance), footer, left=left)
    for cell, ax in (panel for line in placed for panel in line):
        _panel(ax, cell)
    return fig


def _title(block: pd.DataFrame, what: str) -> str:
    return f"corruption {block['level'].iloc[0]:g}, n = {panels.spanned(block['n'])}\n{what}"


def _panel(ax: Axes, cell: _Cell) -> None:
    place = {layer: -row for row, layer in enumerate(cell.layers)}
    for y in list(place.values())[1:]:
        ax.axhline(y + 0.5, color="0.88", linewidth=0.5, zorder=0)
    several = cell.lines["batch_norm"].nunique() > 1
    for row in cell.lines.itertuples():
        colour = {"color": rewinds.LOOKS[row.batch_norm]} if several and row.series == "model" else {}
        ax.axvline(100 * row.mean, **_LINES[row.series, row.choice] | colour)
    if cell.chance is not None:
        ax.axvline(100 * cell.chance, **style.REFERENCE)
    series = list(cell.marks.groupby(["batch_norm", "at", "choice"]))
    for turn, ((way, at, choice), points) in enumerate(series):
        step = min(0.25, 0.6 / max(len(series) - 1, 1))
        y = points["layer"].map(place) + step * ((len(series) - 1) / 2 - turn)
        look = _look(at, choice, rewinds.LOOKS[way])
        spread.across(ax, y, points, look["color"], width=0.6)
        ax.plot(100 * points["mean"], y, **look)
    ax.set_xlim(cell.limits)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.set_ylim(-len(place) + 0.4, 0.6)
    ax.set_yticks(list(place.values()), list(place) if cell.label else [""] * len(place))
    ax.tick_params(axis="y", length=0)
    ax.set_title(cell.title, pad=3, linespacing=1.2)
    ax.set_xlabel("test accuracy (%)", labelpad=1)
    if cell.label:
        ax.set_ylabel(cell.label, labelpad=3, linespacing=1.2)


def _look(at: str, choice: str, colour: str) -> dict[str, Any]:
    marker, hollow, _ = _MARKS[at, choice]
    shape = {"marker": marker, "markersize": 3.2, "linestyle": "", "markeredgewidth": 0.7, "zorder": 3}
    return {**shape, "color": colour, "markerfacecolor": "white" if hollow else colour}


def _handles(table: pd.DataFrame, chance: dict[str, float]) -> list[Line2D]:
    marks = table[table["layer"].notna()]
    kinds = set(zip(marks["at"], marks["choice"], strict=True))
    ways = {rewinds.LOOKS[way]: way for way in reversed(rewinds.LOOKS) if (marks["batch_norm"] == way).any()}
    handles = [
        Line2D([], [], label=label, **_look(*kind, "0.3")) for kind, (_, _, label) in _MARKS.items() if kind in kinds
    ]
    if len(ways) > 1:
        handles += [
            Line2D([], [], label=rewinds.NAMES[way], color=colour, linewidth=2.0) for colour, way in ways.items()
        ]
    there = set(zip(table["series"], table["choice"], strict=True))
    handles += [Line2D([], [], label=_LABELS[kind], **look) for kind, look in _LINES.items() if kind in there]
    if chance:
        handles.append(Line2D([], [], label="chance", **style.REFERENCE))
    return handles


def _footer(table: pd.DataFrame, results: Results, rewind: pd.DataFrame) -> list[str]:
    text = [
        "Accuracy in % on test examples (true labels) of the networks at their end with the weights of some layers put "
        "back to a saved epoch: a single layer, the first or the last layers. Not all layers, which is early "
        "stopping. Layers from the input side (top) to the output.",
        "Hollow: the best saved epoch of that layer, found in each run on test data (an oracle), the last epoch, at "
        "which nothing is put back, included. Early stopping chooses among the same epochs, on the same examples.",
    ]
    if ("best epoch", "validation") in set(zip(table["at"], table["choice"], strict=True)):
        text.append("Triangles and the solid line: chosen in each run on held-out noisy labels.")
    if table["at"].isin(["initialisation", "redrawn"]).any():
        text.append("On the right, with an axis of its own, nothing is chosen.")
    if (table["at"] == "redrawn").any():
        text.append(f"Re-randomised: mean over {rewinds.draws(rewind)}.")
    text += rewinds.batch_norms(rewind, rewind)
    if table.groupby(GRID_POINT)["batch_norm"].nunique().max() > 1:
        text.append("Networks of each way have lines of its colour.")
    if (table["series"] == "transfer").any():
        text.append("Weight transfer is scored on all test examples, with the network's own statistics.")
    text += layout.seeds(table, "bars", "ticks")
    text += rewinds.sizes(results, rewind[rewind["view"] == "test"])
    text.append("Lines have intervals too, which the table has beside paired differences to early stopping.")
    return text
