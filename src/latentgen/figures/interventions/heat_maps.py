"""Figures 20 and 21: heat maps of rewinding, layer by epoch."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from latentgen.caption import Caption
from latentgen.figures.interventions import rewinds
from latentgen.figures.page import Drawing, Panel, Reader, Row, compose, facets, sentences
from latentgen.numbers import rewinding
from latentgen.numbers.results import Results
from latentgen.summary.selection import REWOUND

#: The view in which a high accuracy is that of memorised labels, in colours of its own.
_MEMORISED = "permuted"
_MAPS = {False: "viridis", True: "magma"}

_RINGS = (
    {"markeredgecolor": "black", "markeredgewidth": 2.2},
    {"markeredgecolor": "white", "markeredgewidth": 1.0},
)
_RING = {"marker": "o", "markersize": 6.0, "markerfacecolor": "none", "linestyle": ""}
_END = {"marker": ">", "markersize": 3.2, "color": "black", "markeredgewidth": 0.7, "linestyle": ""}
#: The larger, so that both can be seen in one place.
_STOPPED = {**_END, "markersize": 5.2, "markerfacecolor": "white"}
_BEST_EPOCH = {"marker": "|", "markersize": 4.0, "color": "black", "linewidth": 0.8, "markeredgewidth": 0.8}

#: Inches of a layer, and the least of a panel; most epochs that are named.
_ROW, _LEAST, _NAMED = 0.125, 0.9, 5
#: Inches of all panels of a row beside one another, at least; of a digit, and between the names of two epochs.
_BESIDE, _DIGIT, _APART = 4.6, 0.065, 0.04
#: Points below a heat map at which the bar of best epochs stands, between it and the names of epochs.
_BELOW = 3.2


def by_kind(results: Results, reader: Reader) -> Drawing:
    """Figure 20, from the tables rewind and history."""
    return _draw(results, reader, [("test", kind) for kind in REWOUND], of_views=False)


def by_view(results: Results, reader: Reader) -> Drawing:
    """Figure 21, from the same tables."""
    order = ("test", "unpermuted", "restored", _MEMORISED)
    return _draw(results, reader, [(view, "suffix") for view in order], of_views=True)


def _draw(results: Results, reader: Reader, panels: Sequence[tuple[str, str]], *, of_views: bool) -> Drawing:
    """``panels`` : view and kind of each, beside one another."""
    table, rewind = rewinding.heat_maps(results, of_views=of_views)
    table = reader.rows(table)
    there = set(zip(table["view"], table["series"], strict=True))
    panels = [panel for panel in panels if panel in there]
    rows = [_row(point, block, panels, of_views) for point, block in facets.points(table)]
    return Drawing(compose(rows, _handles(table)), table, _caption(results, rewind, table, of_views))


def _row(point: Sequence, block: pd.DataFrame, panels: Sequence[tuple[str, str]], of_views: bool) -> Row:
    own, maps = block[block["series"] == "model"], block[block["series"] != "model"]
    cells, bars = [], []
    for view, kind in panels:
        points = maps[(maps["view"] == view) & (maps["series"] == kind)]
        alone = view == _MEMORISED
        if points.empty:
            cells.append(None)
            continue
        norm = _norm(points if alone else pd.concat([own, maps[maps["view"] != _MEMORISED]]))
        title = _title(points, None if of_views else own, view if of_views else rewinds.KINDS[kind])
        wide = _BESIDE / len(panels)
        fill = partial(_heat_map, points=points, own=own, norm=norm, colours=_MAPS[alone], inches=wide)
        cells.append(Panel(fill, title))
        bars.append(alone)
    (*pair, level), n = point, facets.spanned(block["n"])
    heading = f"{facets.heading(pair)}, level {level:g}, n = {n}"
    height = max(_ROW * maps["layer"].nunique(), _LEAST)
    return Row(cells, height, heading=heading, finish=partial(_colour_bars, alone=bars, own=own))


def _norm(points: pd.DataFrame) -> Normalize:
    low, high = 100 * points["mean"].min(), 100 * points["mean"].max()
    return Normalize(low, high) if high - low > 0.1 else Normalize(low - 0.5, high + 0.5)


def _title(points: pd.DataFrame, own: pd.DataFrame | None, what: str) -> str:
    """``own``, the network's rows, set early stopping beside the ring."""
    ring = [f"ring {100 * row.mean:.1f}\xa0%, epoch {row.epoch:.0f}" for row in points[points["best"]].itertuples()]
    stopped = own.loc[own["choice"] == "oracle", "mean"] if own is not None else []
    return "\n".join([what, *(ring or ["nothing gained"]), *(f"stopped {100 * value:.1f}\xa0%" for value in stopped)])


def _heat_map(ax: Axes, points: pd.DataFrame, own: pd.DataFrame, norm: Normalize, colours: str, inches: float) -> None:
    """Re-randomised weights, set apart, then saved epochs in equal steps; first layers at the top.

    ``inches`` : that it is wide, at least
    """
    saved = points[points["weights"] == "saved"].pivot(index="depth", columns="epoch", values="mean")
    redrawn = points[points["weights"] == "redrawn"].sort_values("depth")
    epochs, layers = saved.columns.to_numpy().astype(int), len(saved)
    look = {"cmap": colours, "norm": norm, "aspect": "auto", "interpolation": "nearest"}
    ax.imshow(100 * saved.to_numpy(), extent=(-0.5, len(epochs) - 0.5, layers - 0.5, -0.5), **look)
    wide = max(1.0, 0.06 * len(epochs))
    left = -0.5 - (1.5 * wide if len(redrawn) else 0.0)
    places = _named(epochs, inches / (len(epochs) - 0.5 - left))
    ticks: dict[float, str] = {place: f"{epochs[place]}\n" for place in places}
    middle = (len(epochs) - 1) / 2
    ticks[middle] = ticks.get(middle, "\n") + "epoch"
    if len(redrawn):
        ax.imshow(100 * redrawn[["mean"]].to_numpy(), extent=(left, left + wide, layers - 0.5, -0.5), **look)
        ticks[left + wide / 2] = "\nrandom"
    ax.set_xlim(left, len(epochs) - 0.5)
    ax.set_ylim(layers - 0.5, -0.5)
    place = {depth: row for row, depth in enumerate(saved.index)}
    for depth in points.loc[points["whole"], "depth"].unique() if layers > 1 else ():
        ax.axhline(place[depth] + (0.5 if place[depth] == 0 else -0.5), color="white", linewidth=2.0)
    for row in points[points["best"]].itertuples():
        for edge in _RINGS:
            ax.plot(np.searchsorted(epochs, row.epoch), place[row.depth], **_RING, **edge)
    # A bar below the map, from the first to the last best epoch of the runs.
    stopped = own[own["choice"] == "oracle"].iloc[0]
    along = np.interp([stopped["first_best_epoch"], stopped["last_best_epoch"]], epochs, np.arange(len(epochs)))
    below = ax.get_xaxis_transform() + ScaledTranslation(0, -_BELOW / 72, ax.figure.dpi_scale_trans)
    ax.plot(along, [0.0, 0.0], transform=below, clip_on=False, **_BEST_EPOCH)
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.tick_params(axis="x", length=0, pad=2 * _BELOW)
    names = points.drop_duplicates("depth").sort_values("depth")["layer"]
    ax.set_yticks(range(layers), names)
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)


def _named(epochs: np.ndarray, pitch: float) -> np.ndarray:
    """Columns whose epochs are named, evenly: as many as have room, the first and the last among them.

    ``pitch`` : inches from column to column
    """
    room = _DIGIT * len(f"{epochs[-1]}") + _APART
    for count in range(min(_NAMED, len(epochs)), 2, -1):
        places = np.linspace(0, len(epochs) - 1, count).round().astype(int)
        if np.diff(places).min() * pitch >= room:
            return places
    return np.unique([0, len(epochs) - 1])


def _colour_bars(fig: Figure, axes: Sequence[Axes], alone: Sequence[bool], own: pd.DataFrame) -> None:
    """One for the panels that share their colours, with the networks' own accuracies, and one for the other view."""
    for apart in sorted(set(alone)):
        of_bar = [ax for ax, own_colours in zip(axes, alone, strict=True) if own_colours == apart]
        image = next(child for child in of_bar[0].get_children() if isinstance(child, AxesImage))
        room = _empty_place(of_bar[-1], axes)
        place = {"ax": of_bar, "aspect": 18, "pad": 0.02} if room is None else {"cax": room}
        bar = fig.colorbar(image, **place, label="memorised (%)" if apart else "accuracy (%)")
        # As a bitmap it would keep a picture of the whole page in a PDF; without edges it would have pale lines there.
        bar.solids.set(rasterized=False, edgecolor="face", linewidth=0.3)
        bar.outline.set_visible(False)
        for choice, look in () if apart else (("oracle", _STOPPED), ("fixed", _END)):
            value = 100 * own.loc[own["choice"] == choice, "mean"].iloc[0]
            bar.ax.plot(-0.4, value, transform=bar.ax.get_yaxis_transform(), clip_on=False, **look)


def _empty_place(ax: Axes, beside: Sequence[Axes]) -> Axes | None:
    """Axes of a colour bar in the empty place to the right of a panel, so that other rows need leave no room for it."""
    place = ax.get_subplotspec()
    taken = {other.get_subplotspec().colspan.start for other in beside}
    if place.colspan.stop in taken or place.colspan.stop == place.get_gridspec().ncols:
        return None
    inside = ax.inset_axes((1.1, 0.0, 0.05, 1.0))
    inside.set_in_layout(False)
    return inside


def _handles(table: pd.DataFrame) -> list[Line2D]:
    handles = [
        Line2D([], [], label="network at its end, test", **_END),
        Line2D([], [], label="network at its best epoch, test (oracle)", **_STOPPED),
        Line2D([], [], label="network's best epoch (oracle), first to last run", **_BEST_EPOCH),
    ]
    if table["best"].any():
        ring: dict[str, Any] = {**_RING, "markeredgecolor": "black", "markersize": 5.0}
        handles.append(Line2D([], [], label="best test accuracy of a heat map (oracle)", **ring))
    return handles


def _caption(results: Results, rewind: pd.DataFrame, table: pd.DataFrame, of_views: bool) -> Caption:
    shown, caveats = [], []
    if (rewind["weights"] == "redrawn").any():
        shown.append(f"Random: weights of another initialisation, mean over {rewinds.draws(rewind)}.")
    shown.append("Triangles at the colour bar: the network itself.")
    if of_views:
        shown.append("The panels of a row share their colours, but for permuted.")
    else:
        shown.append("The panels of a row share their colours. Stopped, in titles: early stopping.")
    if table["carried"].any():
        caveats.append("A run that has stopped stands in later columns with its last value.")
    if of_views:
        of_levels = results.rewind["view"].isin(rewinding.VIEWS) & results.rewind["level"].isin(table["level"])
        caveats += rewinds.missing(results.rewind.loc[of_levels, ["level", "n"]])
    return Caption(
        shown=tuple(shown),
        scored=tuple(rewinds.sizes(results, rewind)),
        seeds=sentences.over_seeds(table, "the table has 95\xa0% Student t intervals"),
        caveats=(*rewinds.batch_norms(rewind, results.rewind), *caveats),
    )
