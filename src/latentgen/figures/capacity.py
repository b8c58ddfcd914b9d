"""Figures 18 and 19: capacity by theory against capacity measured, and latent generalization against capacity."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy import stats

from latentgen import summary
from latentgen.activations import INPUT
from latentgen.figures import averages, layout, panels, views
from latentgen.figures.averages import PAIR
from latentgen.figures.results import Results
from latentgen.summary import GRID_POINT, RUN, SEEDS
from latentgen.summary.selection import best, last_layer

#: Columns of the tables behind the figures, after those of the grid point.
MEASURED = [
    *["series", *SEEDS, "epoch", "layer", "depth", "view", "measured", "measured_error", "theory", "theory_error"],
    *["unstructured", "correlation", "deviation", "n", "n_points"],
]
LATENT = [
    *["panel", "series", *SEEDS, "epoch", "layer", "depth", "view", "capacity", "best_layer", "value"],
    *["unstructured", "later", "spearman", "low", "high", "later_spearman", "later_low", "later_high", "n", "n_points"],
    *["fit_labels", "split", "labels", "metric"],
]

#: Metric of the measured capacity → name of its series and how marks are filled.
_SIMULATED = {"simulated_capacity": "axes removed", "simulated_capacity_raw": "axes kept"}
_EQUAL = {"color": "0.3", "linewidth": 0.7, "zorder": 1}

#: Panels of figure 19: the view whose capacity they show, and what stands against it.
_PANELS = {
    "each layer": ("test", "MASC, each layer (%)"),
    "best layer": ("test", "MASC, best layer (%)"),
    "gap, permuted": ("permuted", "MASC \N{MINUS SIGN} network (points)"),
    "gap, restored": ("restored", "MASC \N{MINUS SIGN} network (points)"),
}

#: Marks of figure 19: as they are in titles, and their look without its colour.
_MARKS = {
    "masc": ("\N{BLACK CIRCLE}", {"marker": "o", "markersize": 2.6, "markeredgewidth": 0}),
    "last layer": ("", {"marker": "D", "markersize": 2.8, "markeredgewidth": 0}),
    "earlier": ("", {"marker": "o", "markersize": 2.4, "markeredgewidth": 0.5, "markerfacecolor": "none"}),
    "model": (
        "\N{WHITE SQUARE}",
        {"marker": "s", "markersize": 2.8, "markeredgewidth": 0.6, "markerfacecolor": "none"},
    ),
}
_LABELS = {
    "masc": "MASC, or minus network",
    "last layer": "MASC on the last hidden layer",
    "earlier": "minus network, before its best epoch",
    "model": "network itself",
}

# Sizes in inches; _LEVELS is the number of panels to a line of figure 18.
_LEFT, _LINE, _TICKS, _LEVELS = 0.5, 0.125, 0.34, 3

#: Standard errors that a bar is long to either side.
_NORMAL = 1.96

#: Epochs in the legend of figure 19, and marks of a panel from which on they are a bitmap within the page.
_EPOCHS, _MANY = 6, 2000


class _Cell(NamedTuple):
    """One panel."""

    points: pd.DataFrame
    title: str
    label: str | None
    x_label: str


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 18, from the table geometry, or 19, from the tables geometry, probes and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    return _theory(results) if name == "fig18" else _latent(results)


def _tidy(table: pd.DataFrame, geometry: pd.DataFrame, columns: Sequence[str], *firsts: Sequence[str]) -> pd.DataFrame:
    """Rows of ``table`` in order, panels as in the configuration; ``firsts`` are names that come in their own order."""
    order = {name: place for place, name in enumerate([*(n for names in firsts for n in names), *views.LOOKS])}
    names = [name for name in ("panel", "series", "view") if name in columns]
    table = table.sort_values(
        [*GRID_POINT, *names, *SEEDS, "epoch", "depth"], key=lambda c: c.map(order) if c.name in names else c
    )
    return geometry[PAIR].drop_duplicates().merge(table, on=PAIR)[[*GRID_POINT, *columns]]


def _data_seeds(table: pd.DataFrame) -> str:
    n = table.groupby(GRID_POINT)["data_seed"].nunique()
    return f"n\xa0=\xa0{panels.spanned(n)} data seed{'s' if n.max() > 1 else ''}"


def _signed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


# --- figure 18 ------------------------------------------------------------------------------------


def _theory(results: Results) -> tuple[Figure, pd.DataFrame]:
    geometry = views.rows(results, list(_SIMULATED), "geometry.simulated")
    key = [*RUN, "epoch", "layer", "depth", "view"]
    theory = results.geometry[results.geometry["metric"] == "capacity"]
    theory = theory.merge(geometry[key].drop_duplicates(), on=key)
    columns = {"value": "measured", "error": "measured_error"}
    measured = geometry.dropna(subset="value").rename(columns=columns).drop(columns=["kappa", "n"])
    columns = {"value": "theory", "error": "theory_error"}
    table = measured.merge(theory.dropna(subset="value").rename(columns=columns)[[*key, *columns.values()]], on=key)
    if table.empty:
        raise ValueError(
            "the geometry table holds no mean-field capacity where capacity was measured; both are of one grid entry"
        )
    table["series"] = table["metric"].map(_SIMULATED)
    by = [*GRID_POINT, "series"]
    agreement = [dict(zip(by, names, strict=True)) | _agreement(points) for names, points in table.groupby(by)]
    table = _tidy(table.merge(pd.DataFrame(agreement), on=by), geometry, MEASURED, _SIMULATED.values())
    footer = [
        "Capacity in classes per feature: theory is the mean-field one, after the axes that class centres share are "
        "removed; measured are classes over the features of a random projection at which half of random dichotomies of "
        "the classes are linearly separable. Filled: measured with the same axes removed, the fair comparison; hollow: "
        "with the axes kept, which the theory does not describe. A mark is a view at one layer and epoch of one run.",
        views.GROUPED,
        *views.sizes(theory),
        f"{_data_seeds(table)}, not averaged; bars: 1.96 standard errors within a run, over random directions (theory) "
        "and dichotomies (measured), not over runs.",
        "r: correlation of the logarithms; %: mean deviation of theory from measurement, relative to it; marks of one "
        "run are not independent.",
        *views.missing(pd.concat([geometry, theory])),
    ]
    if (theory["kappa"] != 0).any():
        footer.append("Measured without a margin, theory with one: they are not expected to agree.")
    return _theory_figure(table, footer), table


def _agreement(points: pd.DataFrame) -> dict[str, float]:
    """How theory and measurement agree; no correlation of fewer than three marks, or of constants."""
    x, y = np.log(points["measured"]), np.log(points["theory"])
    told = len(points) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    return {
        "correlation": stats.pearsonr(x, y).statistic if told else np.nan,
        "deviation": (points["theory"] / points["measured"] - 1).mean(),
        "n": points["data_seed"].nunique(),
        "n_points": len(points),
    }


def _theory_figure(table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    levels = sorted(table["level"].unique())
    columns = min(_LEVELS, len(levels))
    names = {pair: layout.named(pair, 1.6) for pair, _ in table.groupby(PAIR, sort=False)}
    left = _LEFT + _LINE * max(map(len, names.values()))
    width = layout.panel_width(columns, left)
    lines = []
    for pair, block in table.groupby(PAIR, sort=False):
        for shown in layout.in_lines(levels, columns):
            there = [level for level in shown if (block["level"] == level).any()]
            cells: list[_Cell | None] = [None] * len(shown)
            for place, level in enumerate(shown):
                points = block[block["level"] == level]
                if level in there:
                    label = "\n".join([*names[pair], "capacity, theory"]) if level == there[0] else None
                    cells[place] = _Cell(points, _theory_title(points), label, "capacity, measured")
            if there:
                lines.append(layout.Line(cells, width, 0.1 + 3 * _LINE, _TICKS))
    shown = list(dict.fromkeys(table["series"]))
    handles = [
        *views.handles(table["view"], joined=False),
        *(Line2D([], [], label=name, marker="o", markersize=3.2, color="0.3", **_fill(name, "0.3")) for name in shown),
        Line2D([], [], label="equal", **_EQUAL),
        Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED),
    ]
    fig, placed = layout.page(lines, handles, footer, left=left)
    for cell, ax in (panel for line in placed for panel in line):
        _theory_panel(ax, cell)
    return fig


def _theory_title(points: pd.DataFrame) -> str:
    """Level, and the agreement of filled and of hollow marks; an empty line where there are none."""
    lines = [f"corruption {points['level'].iloc[0]:g}"]
    for series, sign in zip(_SIMULATED.values(), ("\N{BLACK CIRCLE}", "\N{WHITE CIRCLE}"), strict=True):
        of_series = points[points["series"] == series]
        text = ""
        if not of_series.empty:
            first = of_series.iloc[0]
            r = "" if np.isnan(first["correlation"]) else f"r = {_signed(first['correlation'], 2)}, "
            deviation = f"{100 * first['deviation']:+.0f}".replace("-", "\N{MINUS SIGN}")
            text = f"{sign} {r}{deviation} %, {first['n_points']} marks"
        lines.append(text)
    return "\n".join(lines)


def _fill(series: str, colour: str) -> dict[str, Any]:
    face = colour if series == "axes removed" else "white"
    return {"linestyle": "", "markerfacecolor": face, "markeredgewidth": 0.7}


def _theory_panel(ax: Axes, cell: _Cell) -> None:
    points = cell.points
    ax.set_xscale("log")
    ax.set_yscale("log")
    # Filled marks lie over hollow ones.
    for series, zorder in (("axes kept", 2), ("axes removed", 3)):
        for view, look in views.LOOKS.items():
            of = points[(points["series"] == series) & (points["view"] == view)]
            x, y = of["measured"].to_numpy(), of["theory"].to_numpy()
            x_error, y_error = (_bars(of[column], of[f"{column}_error"]) for column in ("measured", "theory"))
            line = {"color": look["color"], "linewidth": 0.5, "zorder": zorder - 0.5}
            ax.hlines(y, *x_error, **line)
            ax.vlines(x, *y_error, **line)
            mark = {"color": look["color"], "marker": look["marker"], "markersize": 3.2, "zorder": zorder}
            ax.plot(x, y, **mark, **_fill(series, look["color"]))
    values = np.concatenate([points["measured"], points["theory"], points["unstructured"]])
    limits = values.min() / 1.3, values.max() * 1.3
    ax.plot(limits, limits, **_EQUAL)
    ax.axhline(points["unstructured"].mean(), **views.UNSTRUCTURED)
    ax.axvline(points["unstructured"].mean(), **views.UNSTRUCTURED)
    ax.set(xlim=limits, ylim=limits)
    for axis in (ax.xaxis, ax.yaxis):
        wide = limits[1] > 12 * limits[0]
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if wide else MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
    _dress(ax, cell)


def _bars(values: pd.Series, errors: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the bars: of no length without an error, and short of zero, which a logarithmic axis never reaches."""
    half = _NORMAL * errors.fillna(0.0)
    return np.maximum(values - half, 0.01 * values).to_numpy(), (values + half).to_numpy()


def _dress(ax: Axes, cell: _Cell) -> None:
    ax.set_title(cell.title, pad=3, linespacing=1.2)
    ax.set_xlabel(cell.x_label, labelpad=1)
    if cell.label is not None:
        ax.set_ylabel(cell.label, labelpad=2, linespacing=1.2)


# --- figure 19 ------------------------------------------------------------------------------------


def _latent(results: Results) -> tuple[Figure, pd.DataFrame]:
    geometry = views.rows(results, ["capacity"])
    table = _latent_table(results, geometry)
    if table.empty:
        raise ValueError(
            "the tables geometry, probes and history hold no checkpoint with capacity, the probe 'masc' and the "
            "network's test accuracy; give the same grid entry the keys 'geometry' and 'probes'"
        )
    table = table.assign(fit_labels="given", split="test", labels="true", metric="accuracy")
    table.loc[table["series"] == "model", "fit_labels"] = None
    table = _tidy(table, geometry, LATENT, _PANELS, ["masc", "model", "masc - model"])
    footer = _latent_footer(table, geometry)
    return _latent_figure(table, footer), table


def _latent_table(results: Results, geometry: pd.DataFrame) -> pd.DataFrame:
    at = [*RUN, "epoch"]
    capacity = geometry.dropna(subset="value").rename(columns={"value": "capacity"})
    capacity = capacity[[*at, "layer", "view", "capacity", "unstructured"]]
    # Only what all three tables measured, so that all panels are of the same checkpoints.
    own = summary.model_accuracy(results.history)[[*at, "value"]].merge(capacity[at].drop_duplicates(), on=at)
    masc = averages.probe_rows(results.probes, "masc")
    masc = masc[masc["layer"] != INPUT][[*at, "layer", "depth", "value"]].merge(own[at], on=at)
    own = own.merge(masc[at].drop_duplicates(), on=at)
    if masc.empty:
        return masc
    highest = masc.sort_values([*at, "depth"]).groupby(at)["value"].idxmax()
    highest = masc.loc[highest].rename(columns={"layer": "best_layer"}).drop(columns="depth")
    gap = summary.difference(highest, own, at).merge(highest[[*at, "best_layer"]], on=at)
    last = (
        last_layer(masc)[[*GRID_POINT, "layer", "depth"]].drop_duplicates().merge(capacity, on=[*GRID_POINT, "layer"])
    )
    of_view = dict(list(last.groupby("view")))
    parts = [(masc.merge(capacity[capacity["view"] == "test"], on=[*at, "layer"]), "each layer", "masc")]
    for panel, series, values in (
        ("best layer", "masc", highest),
        ("best layer", "model", own),
        ("gap, permuted", "masc - model", gap),
        ("gap, restored", "masc - model", gap),
    ):
        if (view := _PANELS[panel][0]) in of_view:
            parts.append((values.merge(of_view[view], on=at), panel, series))
    table = pd.concat([part.assign(panel=panel, series=series) for part, panel, series in parts], ignore_index=True)
    stopped = best(own, own, ["epoch"])[[*RUN, "epoch"]].rename(columns={"epoch": "best_epoch"})
    table = table.merge(stopped, on=RUN)
    table["later"] = table["epoch"] >= table["best_epoch"]
    by = [*GRID_POINT, "panel", "series"]
    counts = table.groupby(by, as_index=False).agg(n=("data_seed", "nunique"), n_points=("value", "size"))
    later = _rank_correlations(table[table["later"]], by)
    later = later.rename(columns={name: f"later_{name}" for name in ("spearman", "low", "high")})
    for columns in (counts, _rank_correlations(table, by), later):
        table = table.merge(columns, on=by, how="left")
    return table


def _rank_correlations(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Spearman's correlation within each run, its mean and interval over data seeds; no row where none is defined."""
    rows = []
    for names, points in table.groupby([*by, *SEEDS]):
        # Of two epochs, or of constants, a rank correlation says nothing.
        if len(points) > 2 and points["capacity"].nunique() > 1 and points["value"].nunique() > 1:
            value = stats.spearmanr(points["capacity"], points["value"]).statistic
            rows.append(dict(zip([*by, *SEEDS], names, strict=True)) | {"value": value})
    empty = table[[*by, *SEEDS]].head(0).assign(value=0.0)
    found = summary.over_seeds(pd.DataFrame(rows) if rows else empty, by).rename(columns={"mean": "spearman"})
    return found[[*by, "spearman", "low", "high"]]


def _latent_footer(table: pd.DataFrame, geometry: pd.DataFrame) -> list[str]:
    several = table.groupby(GRID_POINT)["data_seed"].nunique().max() > 1
    interval = ", mean over data seeds with its 95\xa0% Student t interval (±)" if several else ", without interval"
    return [
        "Latent generalization against mean-field capacity (classes per feature, after the axes that class centres "
        "share are removed), for the same checkpoints. A mark is one epoch (on the left: and layer) of one run, its "
        "colour the epoch. Grey line: no difference.",
        "MASC is fitted on the given (noisy) labels of the training examples; MASC and network are scored on test "
        "examples (true labels). Best layer: of the hidden ones, at each epoch and in each run (an oracle: chosen on "
        "test data); the input, which is no layer of the network, is left out.",
        views.GROUPED,
        "Capacities of the permuted and restored views take no test labels, but the true labels of the training set.",
        *views.sizes(geometry),
        f"{_data_seeds(table)}. ρ: Spearman correlation within a run{interval}, over all epochs, or later: from the "
        "network's best measured epoch on (an oracle); before it, the readout has yet to learn what layers hold. All "
        "of it changes over training, so ρ says what moves together, not what would foretell another run.",
        *views.missing(geometry),
        "Each panel has axes of its own.",
    ]


def _latent_figure(table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    shown = [panel for panel in _PANELS if (table["panel"] == panel).any()]
    names = {pair: layout.named(pair, 1.2) for pair, _ in table.groupby(PAIR, sort=False)}
    left = _LEFT - 0.1 + _LINE * max(map(len, names.values()))
    width = layout.panel_width(len(shown), left)
    lines = []
    for point, block in table.groupby(GRID_POINT, sort=False):
        last = block.loc[block["depth"].idxmax(), "layer"]
        cells: list[_Cell | None] = []
        for panel in shown:
            points = block[block["panel"] == panel]
            view, what = _PANELS[panel]
            title = _latent_title(points, what) if len(points) else ""
            label = "\n".join(names[point[:3]]) if panel == shown[0] else None
            x_label = f"{view} capacity, {'same layer' if panel == 'each layer' else last}"
            cells.append(None if points.empty else _Cell(points, title, label, x_label))
        lines.append(layout.Line(cells, min(width, 1.5), 0.12 + 4 * _LINE, _TICKS))
    colours = _epoch_colours(table)
    fig, placed = layout.page(lines, _latent_handles(table, colours), footer, left=left)
    for cell, ax in (panel for line in placed for panel in line):
        _latent_panel(ax, cell, colours)
    return fig


def _latent_title(points: pd.DataFrame, what: str) -> str:
    """Four lines in every panel, the last two for correlations."""
    lines = [f"corruption {points['level'].iloc[0]:g}, n = {points['n'].iloc[0]}", what]
    for series, of_series in points.groupby("series", sort=False):
        first = of_series.iloc[0]
        if points["series"].nunique() > 1:
            lines.append(_correlation(_MARKS[series][0], first, ""))
        else:
            lines += [_correlation("all", first, ""), _correlation("later", first, "later_")]
    return "\n".join(lines)


def _correlation(what: str, row: pd.Series, prefix: str) -> str:
    value, high = row[f"{prefix}spearman"], row[f"{prefix}high"]
    if pd.isna(value):
        return f"{what}: ρ undefined"
    half = "" if pd.isna(high) else f" ± {high - value:.2f}"
    return f"{what}: ρ = {_signed(value, 2)}{half}"


def _epoch_colours(table: pd.DataFrame) -> dict[int, str]:
    """Colour of each epoch: dark to light along a logarithmic axis that has room for epoch 0."""
    epochs = sorted(table["epoch"].unique())
    along = np.log1p(epochs) / max(np.log1p(epochs[-1]), 1.0)
    colours = sns.color_palette("viridis", as_cmap=True)(0.85 * along)
    return {int(epoch): to_hex(colour) for epoch, colour in zip(epochs, colours, strict=True)}


def _latent_handles(table: pd.DataFrame, colours: dict[int, str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color="0.3", linestyle="", label=label, **{**_MARKS[name][1], "markersize": 3.2})
        for name, label in _LABELS.items()
        if name != "earlier" or (table["series"] == "masc - model").any()
    ]
    handles.append(Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED))
    epochs = list(colours)
    # Even along the colours, which is along the logarithm.
    along = np.log1p(epochs)
    targets = np.linspace(along[0], along[-1], min(_EPOCHS, len(epochs)))
    for place in sorted({int(np.abs(along - target).argmin()) for target in targets}):
        look = {**_MARKS["masc"][1], "markersize": 4.0}
        handles.append(
            Line2D([], [], color=colours[epochs[place]], linestyle="", label=f"epoch {epochs[place]}", **look)
        )
    return handles


def _latent_panel(ax: Axes, cell: _Cell, colours: dict[int, str]) -> None:
    points = cell.points
    look = {"linestyle": "", "zorder": 2, "rasterized": len(points) > _MANY}
    # Late epochs lie over early ones.
    for (epoch, mark), marks in points.groupby(["epoch", _marks(points)]):
        ax.plot(marks["capacity"], 100 * marks["value"], color=colours[epoch], **look, **_MARKS[mark][1])
    for value in sorted(points["unstructured"].unique()):
        ax.axvline(value, **views.UNSTRUCTURED)
    if (points["series"] == "masc - model").any():
        ax.axhline(0.0, color="0.6", linewidth=0.6, zorder=1)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    _dress(ax, cell)


def _marks(points: pd.DataFrame) -> pd.Series:
    """Name of each point's mark."""
    deepest = (points["panel"] == "each layer") & (points["depth"] == points["depth"].max())
    earlier = (points["series"] == "masc - model") & ~points["later"]
    marks = np.select([points["series"] == "model", deepest, earlier], ["model", "last layer", "earlier"], "masc")
    return pd.Series(marks, index=points.index, name="mark")
