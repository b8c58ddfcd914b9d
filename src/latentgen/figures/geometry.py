"""Figures 16 and 17: mean-field geometry of class manifolds, by layer and over training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from latentgen import summary
from latentgen.activations import INPUT
from latentgen.figures import averages, layout, panels, style, views
from latentgen.figures.averages import PAIR
from latentgen.figures.results import Results
from latentgen.summary import GRID_POINT, RUN

#: What each line of panels measures, and how its axis is labelled; figure 17 leaves the last out.
_MEASURES = {
    "capacity": "capacity",
    "radius": "radius",
    "dimension": "dimension",
    "center_correlation": "centre corr.",
}
#: Where one class whose centre all but vanishes with the axes may be far above the others.
_LOGARITHMIC = ("capacity", "radius")

#: Columns of the tables behind the figures, after those of the grid point.
BY_LAYER = [
    *["at", "choice", "first_epoch", "last_epoch", "layer", "depth", "view", "metric", "mean", "low", "high"],
    *["n", "n_runs", "error", "spread", "unstructured"],
]
OVER_TRAINING = [
    *["layer", "depth", "view", "metric", "epoch", "mean", "low", "high", "n", "n_runs", "n_measured", "carried"],
    *["unstructured", "first_best_epoch", "last_best_epoch"],
]

_MEANT = (
    "Mean-field theory, after the axes that class centres share are removed: capacity in classes per feature and "
    "radius (in norms of what is left of the class's centre), both on logarithmic axes, and dimension; radius and "
    "dimension are means over classes"
)
_BEST = "the measured epoch of the network's highest test accuracy, in each run (an oracle: chosen on test data)"
_CURVE = {"linewidth": 0.9, "markersize": 2.6, "markeredgewidth": 0, "zorder": 2}
_STOPPED = {"color": "0.35", "linewidth": 0.6, "zorder": 1}
_STOPS = {"linestyle": "", "marker": "v", "markersize": 2.4, "markeredgewidth": 0, "color": "black"}

# Sizes in inches; _NAME is the least room of a layer's name.
_LEFT, _LINE, _HEIGHT, _BETWEEN, _NAME = 0.5, 0.125, 1.0, 0.1, 0.105

#: Characters of a tick's label.
_LONGEST = 4

#: Most layers of figure 17, and levels beside one another in figure 16.
_LAYERS, _BESIDE = 5, 2


class _Cell(NamedTuple):
    """One panel: ``points`` of one metric, of those that ``shared``, panels with one y axis, have."""

    points: pd.DataFrame
    shared: pd.DataFrame
    layers: Sequence[str]
    title: str | None
    label: str | None
    y_ticks: bool
    bottom: bool


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 16 or 17, from the tables geometry and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    return _by_layer(results) if name == "fig16" else _over_training(results)


def _undefined_kept(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of views that have examples, infinite where undefined: a mean over runs must not leave those out unseen."""
    rows = rows[rows["n"] > 0]
    return rows.assign(value=rows["value"].fillna(np.inf))


def _tidy(table: pd.DataFrame, geometry: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Means that are defined, in order; rows of panels come in that of ``geometry``, the configuration's."""
    order = {name: place for place, name in enumerate([*_MEASURES, *views.LOOKS])}
    table = table[np.isfinite(table["mean"])].sort_values(
        [*GRID_POINT, *by], key=lambda column: column.map(order) if column.name in ("metric", "view") else column
    )
    return geometry[PAIR].drop_duplicates().merge(table, on=PAIR)[[*GRID_POINT, *columns]]


# --- figure 16 ------------------------------------------------------------------------------------


def _by_layer(results: Results) -> tuple[Figure, pd.DataFrame]:
    geometry = views.rows(results, list(_MEASURES))
    shown = geometry.merge(views.epochs(geometry, results), on=[*RUN, "epoch"])
    at = [*GRID_POINT, "at"]
    by = [*at, "layer", "depth", "view", "metric"]
    of_runs = shown.groupby(by, as_index=False)[["error", "spread", "unstructured"]].mean()
    ranges = shown.groupby(at, as_index=False).agg(first_epoch=("epoch", "min"), last_epoch=("epoch", "max"))
    table = summary.over_seeds(_undefined_kept(shown), by).merge(of_runs, on=by).merge(ranges, on=at)
    table["choice"] = table["at"].map({"best epoch": "oracle", "last epoch": "fixed"})
    table = _tidy(table, geometry, ["at", "metric", "view", "depth"], BY_LAYER)
    footer = [
        f"{_MEANT}; centre correlation: mean |cosine| between class centres before that.",
        views.GROUPED,
        *views.sizes(shown),
        *layout.seeds(table, "bands"),
        f"Best epoch: {_BEST}; last: the last measured one. Both share their axes.",
        *views.stability(shown),
        *views.missing(shown),
    ]
    return _layer_figure(table, footer), table


def _layer_figure(table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    levels = sorted(table["level"].unique())
    left = _left(table)
    beside = min(_BESIDE, len(levels))
    lines = []
    for pair, block in table.groupby(PAIR, sort=False):
        for shown in layout.in_lines(levels, beside):
            if block["level"].isin(shown).any():
                lines += _layer_lines(pair, block, shown, table["n"].nunique() > 1)
    fig, placed = layout.page(lines, _handles(table), footer, left=left)
    width = layout.panel_width(2 * beside, left)
    for cell, ax in (panel for line in placed for panel in line):
        count = len(cell.layers)
        for view, look in views.LOOKS.items():
            points = cell.points[cell.points["view"] == view]
            if not points.empty:
                _line(ax, np.arange(count), points.set_index("layer").reindex(cell.layers), look)
        ax.set_xlim(-0.5, count - 0.5)
        # The last layer is always named, of the others as many as there is room for.
        places = range(count - 1, -1, -int(np.ceil(_NAME * count / width)))
        ax.set_xticks(places, [cell.layers[k] if cell.bottom else "" for k in places], rotation=90)
        _dress(ax, cell)
    return fig


def _layer_lines(
    pair: Sequence[str], block: pd.DataFrame, shown: Sequence[float], several_n: bool
) -> list[layout.Line]:
    """Lines of panels, one for each measure, of these levels: the best epoch beside the last."""
    layers, lines = averages.layers(block), []
    there = [level for level in shown if (block["level"] == level).any()]
    for metric, measure in _MEASURES.items():
        top, bottom = metric == "capacity", metric == list(_MEASURES)[-1]
        cells: list[_Cell | None] = []
        for level in shown:
            shared = block[(block["level"] == level) & (block["metric"] == metric)]
            for at in ("best epoch", "last epoch"):
                first = level == there[0] and at == "best epoch"
                cell = _Cell(
                    shared[shared["at"] == at],
                    shared,
                    layers,
                    _layer_title(block[(block["level"] == level) & (block["at"] == at)], several_n) if top else None,
                    _label(pair, measure, top) if first else None,
                    y_ticks=at == "best epoch",
                    bottom=bottom,
                )
                cells.append(cell if level in there else None)
        above = 0.1 + (2 + several_n) * _LINE if top else _BETWEEN
        below = 0.15 + max(map(style.text_width, layers)) if bottom else 0.0
        lines.append(layout.Line(cells, _HEIGHT, above, below))
    return lines


def _layer_title(points: pd.DataFrame, several_n: bool) -> str:
    if points.empty:
        return ""
    first, last = points["first_epoch"].min(), points["last_epoch"].max()
    epochs = f"{first}" if first == last else f"{first} to {last}"
    oracle = " (oracle)" if (points["choice"] == "oracle").any() else ""
    n = f"\nn = {panels.spanned(points['n'])}" if several_n else ""
    return f"corruption {points['level'].iloc[0]:g}\n{points['at'].iloc[0]} {epochs}{oracle}{n}"


# --- figure 17 ------------------------------------------------------------------------------------


def _over_training(results: Results) -> tuple[Figure, pd.DataFrame]:
    measured = views.rows(results, list(_MEASURES)[:-1])
    geometry = pd.concat([_chosen(of_pair) for _, of_pair in measured.groupby(PAIR, sort=False)])
    best = views.epochs(measured, results)
    best = best[best["at"] == "best epoch"].groupby(GRID_POINT, as_index=False)
    best = best.agg(first_best_epoch=("epoch", "min"), last_best_epoch=("epoch", "max"))
    there = _undefined_kept(geometry)
    unstructured = there.groupby(GRID_POINT, as_index=False)["unstructured"].mean()
    table = averages.over_epochs(there, [*GRID_POINT, "layer", "depth", "view", "metric"])
    table = table.merge(unstructured, on=GRID_POINT).merge(best, on=GRID_POINT)
    table = _tidy(table, geometry, ["metric", "depth", "view", "epoch"], OVER_TRAINING)
    footer = [
        f"{_MEANT}. Of many layers {_LAYERS}, even over depth, the last included; not the input, which training leaves "
        "as it is. The panels of a line share their axis.",
        views.GROUPED,
        *views.sizes(geometry),
        *layout.seeds(table, "bands"),
        f"Vertical line, or strip from the first to the last run: {_BEST}.",
        *panels.epochs(table),
        *views.stability(geometry),
        *views.missing(geometry),
    ]
    return _training_figure(table, footer), table


def _chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of at most `_LAYERS` layers, evenly over depth, of one model."""
    layers = averages.layers(rows[rows["layer"] != INPUT])
    places = np.unique(np.linspace(0, len(layers) - 1, min(_LAYERS, len(layers))).round().astype(int))
    return rows[rows["layer"].isin([layers[place] for place in places])]


def _training_figure(table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    several_n = table["n"].nunique() > 1
    columns = max(len(averages.layers(block)) for _, block in table.groupby(PAIR))
    left, lines = _left(table), []
    for (*pair, level), block in table.groupby(GRID_POINT, sort=False):
        layers = averages.layers(block)
        n = f"\nn = {panels.spanned(block['n'])}" if several_n else ""
        for metric in list(_MEASURES)[:-1]:
            top, bottom = metric == "capacity", metric == "dimension"
            shared = block[block["metric"] == metric]
            cells = [
                _Cell(
                    shared[shared["layer"] == layer],
                    shared,
                    layers,
                    f"corruption {level:g}\n{layer}{n}" if top else None,
                    _label(pair, _MEASURES[metric], top) if layer == layers[0] else None,
                    y_ticks=layer == layers[0],
                    bottom=bottom,
                )
                for layer in layers
            ]
            above = 0.1 + (2 + several_n) * _LINE if top else _BETWEEN
            fill = [None] * (columns - len(cells))
            lines.append(layout.Line([*cells, *fill], _HEIGHT, above, 0.32 if bottom else 0.0))
    fig, placed = layout.page(lines, [*_handles(table), _stopped_handle()], footer, left=left)
    for cell, ax in (panel for line in placed for panel in line):
        style.epoch_axis(ax, int(cell.shared["epoch"].max()))
        for turn, (view, look) in enumerate(views.LOOKS.items()):
            points = cell.points[cell.points["view"] == view]
            if not points.empty:
                every = style.marked(ax, points["epoch"].to_numpy(), turn, len(views.LOOKS), 2)
                _line(ax, points["epoch"].to_numpy(), points, look, every)
        first, last = cell.shared[["first_best_epoch", "last_best_epoch"]].iloc[0]
        ax.axvspan(first, last, color="0.35", alpha=0.1, linewidth=0, zorder=0)
        for epoch in sorted({first, last}):
            ax.axvline(epoch, **_STOPPED)
        if cell.bottom:
            ax.set_xlabel("epoch", labelpad=1)
        else:
            ax.tick_params(labelbottom=False)
        _dress(ax, cell)
    return fig


def _stopped_handle() -> Line2D:
    return Line2D([], [], label="network's best epoch (oracle)", **_STOPPED)


# --- panels of both -------------------------------------------------------------------------------


def _left(table: pd.DataFrame) -> float:
    """Room for the labels of the y axes."""
    return _LEFT + _LINE * max(len(layout.named(pair, _HEIGHT)) for pair, _ in table.groupby(PAIR))


def _label(pair: Sequence[str], measure: str, top: bool) -> str:
    return "\n".join([*(layout.named(pair, _HEIGHT) if top else []), measure])


def _handles(table: pd.DataFrame) -> list[Line2D]:
    return [*views.handles(table["view"]), Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED)]


def _line(ax: Axes, x: np.ndarray, points: pd.DataFrame, look: dict, every: list[int] | None = None) -> None:
    """Line of means with its band; thinner from where runs have stopped, which triangles mark."""
    mean = points["mean"].to_numpy()
    ax.fill_between(x, points["low"], points["high"], color=look["color"], alpha=0.13, linewidth=0, zorder=1)
    whole = int((~points["carried"]).sum()) if "carried" in points else len(points)
    every = list(range(len(x))) if every is None else every
    ax.plot(x[:whole], mean[:whole], **_CURVE, **look, markevery=[k for k in every if k < whole])
    if whole < len(x):
        thin = {**_CURVE, **look, "linewidth": 0.5 * _CURVE["linewidth"], "markersize": 2.0}
        start = max(whole - 1, 0)
        ax.plot(x[start:], mean[start:], **thin, markevery=[k - start for k in every if k >= whole])
        stops = x[(points["n_measured"].diff(-1) > 0).to_numpy()]
        ax.plot(stops, np.full(len(stops), 0.03), transform=ax.get_xaxis_transform(), **_STOPS)


def _dress(ax: Axes, cell: _Cell) -> None:
    """Axis, reference and names of a panel."""
    marks = [*cell.shared["mean"]]
    if (cell.shared["metric"] == "capacity").any():
        unstructured = cell.shared["unstructured"].mean()
        ax.axhline(unstructured, **views.UNSTRUCTURED)
        marks.append(unstructured)
    if (cell.shared["metric"].isin(_LOGARITHMIC)).any():
        ax.set_yscale("log")
        ax.set_ylim(_log_limits(cell.shared, marks))
    else:
        ax.set_ylim(_limits(cell.shared, marks))
    _short_ticks(ax)
    if not cell.y_ticks:
        ax.tick_params(labelleft=False)
    if cell.title:
        ax.set_title(cell.title, pad=3)
    if cell.label is not None:
        ax.set_ylabel(cell.label, labelpad=2, linespacing=1.2)


def _short_ticks(ax: Axes) -> None:
    """About five ticks, or as many fewer as it takes for their labels to fit between two panels."""
    low, high = ax.get_ylim()
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
    if ax.get_yscale() == "log":
        for steps in ((1,), (1, 3), (1, 2, 5)):
            locator = LogLocator(subs=steps)
            if sum(low <= tick <= high for tick in locator.tick_values(low, high)) > 1:
                ax.yaxis.set_major_locator(locator)
                return
    for most in (5, 4, 3, 2, 1):
        locator = MaxNLocator(most, steps=[1, 2, 5, 10], min_n_ticks=1)
        if all(len(f"{tick:g}") <= _LONGEST for tick in locator.tick_values(low, high) if low <= tick <= high):
            break
    ax.yaxis.set_major_locator(locator)


def _log_limits(points: pd.DataFrame, marks: Sequence[float]) -> tuple[float, float]:
    """The same for a logarithmic axis; bounds that are not positive do not count."""
    bounds = points[["low", "high"]].astype(float)
    logs = np.log10(bounds.where(bounds > 0))
    low, high = _limits(logs, np.log10([mark for mark in marks if mark > 0]).tolist())
    return 10 ** (low - 0.02), 10 ** (high + 0.02)


def _limits(points: pd.DataFrame, marks: Sequence[float]) -> tuple[float, float]:
    """Limits that hold ``marks``; intervals count up to half of what those span, so that lines stay apart."""
    low, high = min(marks), max(marks)
    room = max((high - low) / 2, 0.05 * abs(high))
    # Of bounds that are null, as those of one seed are, the smaller and the larger is the mean.
    low, high = max(low - room, min(low, points["low"].min())), min(high + room, max(high, points["high"].max()))
    margin = 0.06 * (high - low) + 0.01 * abs(high)
    return low - margin, high + margin
