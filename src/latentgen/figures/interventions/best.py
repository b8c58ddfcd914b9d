"""Figure 22: the best rewinding of each layer compared with early stopping."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen.caption import Caption
from latentgen.figures.interventions import rewinds
from latentgen.figures.page import Drawing, Panel, Reader, Row, axes, compose, facets, lines, spread, style
from latentgen.numbers import rewinding
from latentgen.numbers.results import Results
from latentgen.summary import GRID_POINT
from latentgen.summary.selection import REWOUND

#: (at, choice) → marker, whether it is hollow, and what the legend says.
_MARKS = {
    ("best epoch", "oracle"): ("o", True, "at the best saved epoch (oracle)"),
    ("best epoch", "validation"): ("^", False, "at the epoch chosen on held-out noisy labels"),
    ("initialisation", "fixed"): ("D", False, "at epoch 0, re-initialised"),
    ("redrawn", "fixed"): ("x", False, "re-randomised: another initialisation"),
}

_GREY = {"color": "0.35", "linewidth": 0.7, "zorder": 1}
#: (series, choice) → look of its line, and what the legend says.
_LINES = {
    ("model", "fixed"): ({**style.NETWORK, "zorder": 1}, "network at its end"),
    ("model", "oracle"): ({**_GREY, "linestyle": (0, (5, 1.5))}, "all layers put back: early stopping (oracle)"),
    ("model", "validation"): (_GREY, "early stopping on held-out noisy labels"),
    ("transfer", "fixed"): (
        {"color": style.series_style(3)["color"], "linestyle": style.DASH_DOT, "linewidth": 0.9},
        "weight transfer at the end, zero bias",
    ),
}

#: Inches of a layer, what it takes more for each kind of mark, and the least of a panel.
_ROW, _MORE, _LEAST = 0.125, 0.06, 0.9


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 22, from the tables rewind, history and, where there is one, transfer."""
    rewind = rewinding.rows(results)
    table = reader.rows(rewinding.best_rewinding(results, rewind), "layer")
    looks = _looks(table, reader)
    # Other panels seldom reach down to chance.
    initial = table["at"].isin(["initialisation", "redrawn"]).any()
    chance = results.chance if initial else {}
    rows = [_row(point, block, looks, chance.get(point[0]), bool(initial)) for point, block in facets.points(table)]
    return Drawing(compose(rows, _handles(table, looks, bool(chance))), table, _caption(table, results, rewind))


def _looks(table: pd.DataFrame, reader: Reader) -> dict[str, dict[str, Any]]:
    """Looks of lines, and colours of the ways with batch normalisation, by what the legend says."""
    there = set(zip(table["series"], table["choice"], strict=True))
    ways = {way: rewinds.NAMES[way] for way in rewinds.LOOKS if (table["batch_norm"] == way).any()}
    return reader.looks(
        {label: look for kind, (look, label) in _LINES.items() if kind in there}
        | {name: {"color": rewinds.LOOKS[way]} for way, name in ways.items()}
    )


def _row(point: Sequence, block: pd.DataFrame, looks: Mapping[str, dict], chance: float | None, initial: bool) -> Row:
    drawn, marks = block[block["layer"].isna()], block[block["layer"].notna()]
    layers = list(marks.drop_duplicates("layer").sort_values("depth")["layer"])
    stopped, at_first = marks[marks["at"] == "best epoch"], marks[marks["at"] != "best epoch"]
    fill = partial(_fill, drawn=drawn, layers=layers, looks=looks, chance=chance)
    limits = axes.percent_limits(pd.concat([drawn, stopped]))
    panels: list[Panel | None] = [
        Panel(
            partial(fill, marks=stopped[stopped["series"] == kind], limits=limits),
            rewinds.KINDS[kind],
            "test accuracy (%)",
        )
        for kind in REWOUND
    ]
    if initial:
        guess = [] if chance is None else [pd.DataFrame({"mean": [chance]})]
        room = axes.percent_limits(pd.concat([drawn, at_first, *guess]))
        last = Panel(partial(fill, marks=at_first, limits=room), "initial weights,\nsingle layer", "test accuracy (%)")
        panels.append(last if len(at_first) else None)
    several = len(stopped[["batch_norm", "choice"]].drop_duplicates())
    height = max((_ROW + _MORE * (several - 1)) * len(layers) + 0.05, _LEAST)
    (*pair, level), n = point, facets.spanned(block["n"])
    return Row(panels, height, heading=f"{facets.heading(pair)}, level {level:g}, n = {n}")


def _fill(
    ax: Axes,
    marks: pd.DataFrame,
    drawn: pd.DataFrame,
    layers: Sequence[str],
    looks: Mapping[str, dict],
    limits: tuple[float, float],
    chance: float | None,
) -> None:
    place = {layer: -row for row, layer in enumerate(layers)}
    for y in list(place.values())[1:]:
        ax.axhline(y + 0.5, color="0.88", linewidth=0.5, zorder=0)
    several = drawn["batch_norm"].nunique() > 1
    for row in drawn.itertuples():
        look = looks[_LINES[row.series, row.choice][1]]
        colour = looks[rewinds.NAMES[row.batch_norm]] if several and row.series == "model" else {}
        ax.axvline(100 * row.mean, **look | colour)
    if chance is not None:
        ax.axvline(100 * chance, **style.REFERENCE)
    series = list(marks.groupby(["batch_norm", "at", "choice"]))
    for turn, ((way, at, choice), points) in enumerate(series):
        step = min(0.25, 0.6 / max(len(series) - 1, 1))
        y = points["layer"].map(place) + step * ((len(series) - 1) / 2 - turn)
        look = _look(at, choice, looks[rewinds.NAMES[way]]["color"])
        spread.across(ax, y, points, look["color"], width=0.6)
        ax.plot(100 * points["mean"], y, **look)
    ax.set_xlim(limits)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.set_ylim(-len(place) + 0.4, 0.6)
    ax.set_yticks(list(place.values()), list(place))
    ax.tick_params(axis="y", length=0)


def _look(at: str, choice: str, colour: str) -> dict[str, Any]:
    marker, hollow, _ = _MARKS[at, choice]
    shape = {"marker": marker, "markersize": 3.2, "linestyle": "", "markeredgewidth": 0.7, "zorder": 3}
    return {**shape, "color": colour, "markerfacecolor": "white" if hollow else colour}


def _handles(table: pd.DataFrame, looks: Mapping[str, dict], chance: bool) -> list[Line2D]:
    marks = table[table["layer"].notna()]
    kinds = set(zip(marks["at"], marks["choice"], strict=True))
    handles = [
        Line2D([], [], label=label, **_look(*kind, "0.3")) for kind, (_, _, label) in _MARKS.items() if kind in kinds
    ]
    ways = {
        looks[rewinds.NAMES[way]]["color"]: rewinds.NAMES[way]
        for way in reversed(rewinds.LOOKS)
        if (marks["batch_norm"] == way).any()
    }
    if len(ways) > 1:
        handles += [Line2D([], [], label=name, color=colour, linewidth=2.0) for colour, name in ways.items()]
    handles += [lines.handle(label, looks[label]) for _, label in _LINES.values() if label in looks]
    return [*handles, *([lines.CHANCE] if chance else [])]


def _caption(table: pd.DataFrame, results: Results, rewind: pd.DataFrame) -> Caption:
    shown, chosen, scored = [], [], rewinds.sizes(results, rewind[rewind["view"] == "test"])
    if ("best epoch", "validation") in set(zip(table["at"], table["choice"], strict=True)):
        chosen.append("Triangles and the solid line: chosen in each run on held-out noisy labels.")
    if table["at"].isin(["initialisation", "redrawn"]).any():
        shown.append("In the last column, with an axis of its own, nothing is chosen.")
    if (table["at"] == "redrawn").any():
        shown.append(f"Re-randomised: mean over {rewinds.draws(rewind)}.")
    if table.groupby(GRID_POINT)["batch_norm"].nunique().max() > 1:
        shown.append("Networks of each way with batch normalisation have lines of its colour.")
    if (table["series"] == "transfer").any():
        scored.append(
            "The axes of weight transfer are fitted with the given (noisy) labels of the training examples; it is "
            "scored on all test examples, with the network's own statistics."
        )
    besides = "intervals of the lines, and paired differences" if table["n"].max() > 1 else "differences"
    return Caption(
        shown=tuple(shown),
        scored=tuple(scored),
        seeds=(f"The table also has {besides} to early stopping.",),
        chosen=tuple(chosen),
        caveats=tuple(rewinds.batch_norms(rewind, rewind)),
    )
