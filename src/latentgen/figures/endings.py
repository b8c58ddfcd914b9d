"""Figures 10 and 11: what every layer holds at the end of training, by all probes and by the variance MASC keeps."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from latentgen import summary
from latentgen.figures import layout, panels, spread, style
from latentgen.figures.averages import PAIR, layers
from latentgen.figures.results import Results, probe_label
from latentgen.probes.compared import thresholds
from latentgen.summary import GRID_POINT, RUN, RUNS
from latentgen.summary.selection import at_end, best, where

#: Columns of the table behind the figures, after those of the grid point.
COLUMNS = [
    *["series", "layer", "depth", "at", "choice", "epoch", "mean", "low", "high", "n", "n_runs", *RUNS, "rank"],
    *["fit_labels", "batch_norm", "split", "labels", "metric"],
]

#: The network's own accuracies: how they are drawn, and what they are called.
_NETWORK = {
    "end": {**panels.NETWORK, "label": "network, end"},
    "best epoch": {
        **{"color": "black", "linestyle": (0, (5, 1.5)), "linewidth": 0.7, "zorder": 3},
        "label": "network, best epoch (oracle)",
    },
}
_UNTRAINED = {"linestyle": "", "markerfacecolor": "white", "markeredgewidth": 0.6, "markersize": 2.6}

#: Turns of `style.series_style` whose colours stand out from white paper as thin lines.
_DARK = (0, 1, 2, 3, 4, 5, 9, 7)

#: Panels to a line.
_COLUMNS = 3

#: Label and height in inches of the panels that show a column of the table.
_MEASURES = {"mean": ("test accuracy (%)", 1.45), "rank": ("axes kept", 0.8)}

# Sizes in inches, and how much of the room between two layers the probes of one layer take.
_LEFT, _TITLE, _LINE, _ROOM, _SPREAD = 0.45, 0.2, 0.125, 0.12, 0.72


class _Look(NamedTuple):
    """How a probe is drawn, and what it is called."""

    style: Mapping[str, Any]
    label: str


class _Cell(NamedTuple):
    """One panel: ``column`` of ``points``, which are those of one level; ``layers`` of the model."""

    points: pd.DataFrame
    layers: Sequence[str]
    column: str
    label: str | None
    title: str | None
    named: bool


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 10 or 11, from the tables probes and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    return _all_probes(results) if name == "fig10" else _thresholds(results)


def _all_probes(results: Results) -> tuple[Figure, pd.DataFrame]:
    # Fewer axes are the subject of figure 11, other modes of batch norm that of figure 14.
    ablated = thresholds(results.settings)[:-1]
    plain = [name for name, probe in results.settings.items() if probe["batch_norm"] == "running"]
    names = [name for name in plain if name not in ablated]
    table = _table(results, names)
    shown = [name for name in names if (table["series"] == name).any()]
    looks = {name: _Look(_probe_style(turn), _label(name, results.settings[name])) for turn, name in enumerate(shown)}
    footer = [
        "Probes on each layer, fitted on the given (noisy) labels of the training examples: accuracy in % on test "
        "examples (true labels), at the end of training (joined) and of the untrained network (hollow).",
    ]
    if any(results.settings[name]["fit_labels"] != "given" for name in shown):
        footer.append("In brackets: the labels that a probe was fitted on instead.")
    if ablated:
        footer.append("MASC with fewer axes is left to Figure 11.")
    return _figure(table, looks, results, footer, ["mean"]), table


def _thresholds(results: Results) -> tuple[Figure, pd.DataFrame]:
    names = thresholds(results.settings)
    # A network with one of them has nothing to compare.
    rows = results.probes[results.probes["probe"].isin(names)]
    compared = rows.groupby(GRID_POINT)["probe"].transform("nunique") > 1
    table = _table(results.replaced(probes=rows[compared] if compared.any() else rows), names, initial=False)
    shown = [name for name in names if (table["series"] == name).any()]
    if len(shown) < 2:
        raise ValueError(
            "the probes table holds fewer than two probes of kind masc that differ in the axes they keep; add some "
            "with another variance or n_axes under the configuration key 'probes'"
        )
    colours = style.layer_styles(shown)
    looks = {name: _Look(colours[name], _kept(results.settings[name])) for name in shown}
    footer = [
        "MASC that keeps, for each class, the leading axes that hold this part of the variance, or that many: upper "
        "panels accuracy in % on test examples (true labels) at the end of training, lower panels the axes kept, mean "
        "over classes and runs. Fitted on the given (noisy) labels of the training examples.",
    ]
    return _figure(table, looks, results, footer, ["mean", "rank"]), table


def _probe_style(turn: int) -> dict[str, Any]:
    """Look of probe number ``turn``: as other lines without order, but in colours that thin lines can have."""
    return {**style.series_style(turn), "color": style.series_style(_DARK[turn % len(_DARK)])["color"]}


def _label(name: str, probe: Mapping[str, Any]) -> str:
    """The probe's name, with the labels that it was fitted on if those are not the given ones."""
    label = probe_label(name)
    return label if probe["fit_labels"] == "given" else f"{label} [{probe['fit_labels']}]"


def _kept(probe: Mapping[str, Any]) -> str:
    if probe["n_axes"] is not None:
        return "one axis" if probe["n_axes"] == 1 else f"{probe['n_axes']} axes"
    return f"{100 * probe['variance']:g} % of variance"


def _table(results: Results, names: Sequence[str], *, initial: bool = True) -> pd.DataFrame:
    rows = summary.probe_accuracy(where(results.probes, results.probes["probe"].isin(names)))
    own = summary.model_accuracy(results.history).merge(rows[RUN].drop_duplicates(), on=RUN)
    if rows.empty or own.empty:
        raise ValueError(
            "the tables hold no test accuracies of the models or of any of the probes "
            f"{', '.join(names) or 'fitted with running statistics'}; see the configuration key 'probes'"
        )
    by = [*GRID_POINT, "probe", "layer", "depth", "fit_labels", "batch_norm"]
    parts = [_means(at_end(rows, [*RUN, "probe"]), by).assign(at="end", choice="fixed")]
    if initial:
        parts.append(_means(rows[rows["epoch"] == 0], by).assign(at="initialisation", choice="fixed"))
    parts.append(_means(at_end(own), GRID_POINT).assign(probe="model", at="end", choice="fixed"))
    stopped = _means(best(own, own, ["epoch"]), GRID_POINT)
    parts.append(stopped.assign(probe="model", at="best epoch", choice="oracle"))
    table = pd.concat(parts, ignore_index=True).rename(columns={"probe": "series"})
    table = table.assign(split="test", labels="true", metric="accuracy").astype({"depth": "Int64", "layer": "string"})
    # Probes come in the order of the configuration, the network last; so do rows of panels.
    order = {name: place for place, name in enumerate([*names, "model"])}
    table = table.assign(order=table["series"].map(order)).sort_values([*GRID_POINT, "order", "at", "depth"])
    table = results.probes[PAIR].drop_duplicates().merge(table, on=PAIR)
    return table.reindex(columns=[*GRID_POINT, *COLUMNS])


def _means(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means and intervals over data seeds, with the mean epoch and rank over runs."""
    by = list(by)
    table = summary.over_seeds(rows, by)
    measured = [column for column in ("epoch", "rank") if column in rows]
    return table.merge(rows.groupby(by, as_index=False)[measured].mean(), on=by)


def _figure(
    table: pd.DataFrame,
    looks: Mapping[str, _Look],
    results: Results,
    footer: Sequence[str],
    measures: Sequence[str],
) -> Figure:
    several_n = table["n"].nunique() > 1
    levels = sorted(table["level"].unique())
    names = {pair: layout.named(pair, _MEASURES["mean"][1]) for pair, _ in table.groupby(PAIR, sort=False)}
    left = _LEFT + max(map(len, names.values())) * _LINE
    width = layout.panel_width(min(_COLUMNS, len(levels)), left)
    lines = []
    for pair, block in table.groupby(PAIR, sort=False):
        of_model = layers(block)
        below = _ROOM + _ticks(of_model, width)[1]
        by_level = dict(list(block.groupby("level")))
        for shown in layout.in_lines(levels, _COLUMNS):
            there = [level for level in shown if level in by_level]
            for measure in measures if there else ():
                what, height = _MEASURES[measure]
                first, last = measure == measures[0], measure == measures[-1]
                cells: list[_Cell | None] = [None] * len(shown)
                for place, level in enumerate(shown):
                    if level in by_level:
                        points = by_level[level]
                        n = f"\nn = {panels.spanned(points['n'])}" if several_n else ""
                        title = f"corruption {level:g}{n}" if first else None
                        label = "\n".join([*(names[pair] if first else []), what]) if level == there[0] else None
                        cells[place] = _Cell(points, of_model, measure, label, title, last)
                above = _TITLE + several_n * _LINE if first else 0.1
                lines.append(layout.Line(cells, height, above, below if last else 0.0))
    footer = [
        *footer,
        *layout.seeds(table, "bars and bands", "ticks and thin lines"),
        "Dotted: the network at the end; dashed: at its best epoch, found on test data in each run (an oracle).",
        *(["Grey line: chance."] if any(_guessed(cell.points, results.chance) for cell in _accuracies(lines)) else []),
        "Each panel has an axis of its own.",
    ]
    fig, placed = layout.page(lines, _handles(table, looks), footer, left=left)
    for cell, ax in (panel for line in placed for panel in line):
        _panel(ax, cell, looks, results.chance, width)
    return fig


def _panel(ax: Axes, cell: _Cell, looks: Mapping[str, _Look], chance: Mapping[str, float], width: float) -> None:
    points = cell.points
    if cell.column == "mean":
        for at, look in _NETWORK.items():
            own = points[(points["series"] == "model") & (points["at"] == at)].iloc[0]
            spread.level(ax, own, "black")
            ax.axhline(100 * own["mean"], **look)
        if guessed := _guessed(points, chance):
            ax.axhline(guessed, **style.REFERENCE)
        ax.set_ylim(layout.limits(points))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    else:
        kept = points["rank"][points["rank"] > 0]
        ax.set_yscale("log")
        ax.set_ylim(0.75 * kept.min(), 1.4 * kept.max())
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if kept.max() < 20 * kept.min() else (1.0,)))
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        ax.yaxis.set_minor_locator(NullLocator())
    for turn, (name, look) in enumerate(looks.items()):
        x = np.arange(len(cell.layers)) + _SPREAD * ((turn + 0.5) / len(looks) - 0.5)
        _probe(ax, x, points[points["series"] == name].set_index("layer"), cell.layers, look.style, cell.column)
    _layer_axis(ax, cell.layers, cell.named, width)
    if cell.title is not None:
        ax.set_title(cell.title, pad=3)
    if cell.label is not None:
        ax.set_ylabel(cell.label, labelpad=2, linespacing=1.2)


def _probe(
    ax: Axes, x: np.ndarray, of_probe: pd.DataFrame, names: Sequence[str], look: Mapping[str, Any], column: str
) -> None:
    """One probe's values, joined at the end of training, over the layers that it was fitted on."""
    shared = {"color": look["color"], "marker": look["marker"]}
    for at, points in of_probe.groupby("at"):
        points = points.reindex(names)
        if column == "rank":
            ax.plot(x, points["rank"], linewidth=0.7, markersize=2.6, markeredgewidth=0, **shared)
        elif at == "end":
            line = look.get("linestyle", "-")
            spread.across(ax, x, points, look["color"], width=0.5, upright=True)
            ax.plot(x, 100 * points["mean"], linewidth=0.6, markersize=3.0, markeredgewidth=0, linestyle=line, **shared)
        else:
            ax.plot(x, 100 * points["mean"], zorder=1.5, **{**_UNTRAINED, **shared})


def _layer_axis(ax: Axes, names: Sequence[str], named: bool, width: float) -> None:
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xticks(range(len(names)), names if named else [""] * len(names), rotation=_ticks(names, width)[0])
    ax.tick_params(axis="x", length=0)
    # Between the layers, so that it is plain which marks belong to one.
    for border in np.arange(len(names) - 1) + 0.5:
        ax.axvline(border, color="0.92", linewidth=0.5, zorder=0)


def _ticks(names: Sequence[str], width: float) -> tuple[int, float]:
    """Rotation of the layers' names, and the room they need under a panel of this width, in inches."""
    longest = max(map(style.text_width, names))
    return (0, _LINE) if longest < 0.95 * width / (len(names) + 0.2) else (90, longest)


def _guessed(points: pd.DataFrame, chance: Mapping[str, float]) -> float | None:
    """Accuracy of guessing in percent, where the panel reaches it."""
    low, high = layout.limits(points)
    guessed = 100 * chance.get(points["dataset"].iloc[0], -1.0)
    return guessed if low < guessed < high else None


def _accuracies(lines: Sequence[layout.Line]) -> list[_Cell]:
    return [cell for line in lines for cell in line.cells if cell is not None and cell.column == "mean"]


def _handles(table: pd.DataFrame, looks: Mapping[str, _Look]) -> list[Line2D]:
    handles = [
        Line2D([], [], label=label, linewidth=0.7, markersize=3.2, markeredgewidth=0, **look)
        for look, label in looks.values()
    ]
    if (table["at"] == "initialisation").any():
        handles.append(Line2D([], [], color="0.3", marker="o", label="untrained network", **_UNTRAINED))
    return [*handles, *(Line2D([], [], **look) for look in _NETWORK.values())]
