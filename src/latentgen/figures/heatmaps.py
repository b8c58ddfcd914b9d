"""Maps of layers by epochs in colours, and the colour bar under a line of them."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latentgen.figures import style

_RINGS = (
    {"markeredgecolor": "black", "markeredgewidth": 2.2},
    {"markeredgecolor": "white", "markeredgewidth": 1.0},
)
RING = {"marker": "o", "markersize": 6.0, "markerfacecolor": "none", "linestyle": ""}
END = {"marker": "v", "markersize": 3.2, "color": "black", "markeredgewidth": 0.7, "linestyle": ""}
#: The larger, so that both can be seen in one place.
STOPPED = {**END, "markersize": 5.2, "markerfacecolor": "white"}
BEST_EPOCH = {"marker": "|", "markersize": 5.0, "color": "black", "linewidth": 0.8, "markeredgewidth": 0.8}

# Sizes in inches.
_TICKS, _BAR = 0.46, 0.07


class Cell(NamedTuple):
    """One panel: the cells of a map, the networks' own rows, and what it is called."""

    points: pd.DataFrame
    own: pd.DataFrame
    norm: Normalize
    title: str
    label: str | None


def panel(ax: Axes, cell: Cell) -> None:
    """One heat map: re-randomised weights, set apart, then saved epochs in equal steps; first layers at the top."""
    saved = cell.points[cell.points["weights"] == "saved"].pivot(index="depth", columns="epoch", values="mean")
    redrawn = cell.points[cell.points["weights"] == "redrawn"].sort_values("depth")
    epochs, layers = saved.columns.to_numpy().astype(int), len(saved)
    look = {"cmap": "viridis", "norm": cell.norm, "aspect": "auto", "interpolation": "nearest"}
    ax.imshow(100 * saved.to_numpy(), extent=(-0.5, len(epochs) - 0.5, layers - 0.5, -0.5), **look)
    left = -0.5
    if len(redrawn):
        wide = max(1.0, 0.06 * len(epochs))
        left -= 1.5 * wide
        ax.imshow(100 * redrawn[["mean"]].to_numpy(), extent=(left, left + wide, layers - 0.5, -0.5), **look)
        _below(ax, "random", 0.0, "left")
    ax.set_xlim(left, len(epochs) - 0.5)
    ax.set_ylim(layers - 0.5, -0.5)
    place = {depth: row for row, depth in enumerate(saved.index)}
    for depth in cell.points.loc[cell.points["whole"], "depth"].unique() if layers > 1 else ():
        ax.axhline(place[depth] + (0.5 if place[depth] == 0 else -0.5), color="white", linewidth=2.0)
    for row in cell.points[cell.points["best"]].itertuples():
        for edge in _RINGS:
            ax.plot(np.searchsorted(epochs, row.epoch), place[row.depth], **RING, **edge)
    _best_epoch(ax, cell.own, epochs)
    _ticks(ax, epochs)
    names = cell.points.drop_duplicates("depth").sort_values("depth")["layer"]
    ax.set_yticks(range(layers), names if cell.label is not None else [""] * layers)
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(cell.title, pad=9, linespacing=1.2)
    if cell.label is not None:
        ax.set_ylabel(cell.label, labelpad=3, linespacing=1.2)


def _below(ax: Axes, text: str, along: float, side: str) -> None:
    """Text on the second line under a panel."""
    y = -0.25 / (ax.get_position().height * ax.figure.get_figheight())
    ax.text(along, y, text, transform=ax.transAxes, ha=side, va="center")


def _best_epoch(ax: Axes, own: pd.DataFrame, epochs: np.ndarray) -> None:
    """Bar over the map, from the first to the last best epoch of the runs."""
    stopped = own[own["choice"] == "oracle"].iloc[0]
    along = np.interp([stopped["first_best_epoch"], stopped["last_best_epoch"]], epochs, np.arange(len(epochs)))
    y = 1 + 0.05 / (ax.get_position().height * ax.figure.get_figheight())
    ax.plot(along, [y, y], transform=ax.get_xaxis_transform(), clip_on=False, **BEST_EPOCH)


def _ticks(ax: Axes, epochs: np.ndarray) -> None:
    """As many epochs as their labels leave room for, evenly; the first and the last are always there."""
    low, high = ax.get_xlim()
    pitch = ax.get_position().width * ax.figure.get_figwidth() / (high - low)
    room = style.text_width(f"{epochs[-1]}") + 0.06
    last = len(epochs) - 1
    step = max(1, int(np.ceil(room / pitch)))
    shown = [place for place in range(0, last, step) if (last - place) * pitch >= room or place == 0]
    shown.append(last)
    ax.set_xticks(shown, [f"{epochs[place]}" for place in shown])
    _below(ax, "epoch", 0.5, "center")


def colour_bar(fig: Figure, cell: Cell, first: Axes, last: Axes) -> None:
    """Horizontal, under a line of panels, with the networks' own accuracies as triangles."""
    start, end, tall = first.get_position(), last.get_position(), fig.get_figheight()
    ax = fig.add_axes((start.x0, start.y0 - _TICKS / tall - _BAR / tall, end.x1 - start.x0, _BAR / tall))
    # Not Matplotlib's colour bar, which in a PDF keeps a picture of the whole page for each.
    values = np.linspace(cell.norm.vmin, cell.norm.vmax, 256)
    extent = (cell.norm.vmin, cell.norm.vmax, 0.0, 1.0)
    ax.imshow(values[None], "viridis", cell.norm, extent=extent, aspect="auto", interpolation="nearest")
    ax.set_yticks([])
    ax.spines[:].set_visible(True)
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    for choice, look in (("oracle", STOPPED), ("fixed", END)):
        value = 100 * cell.own.loc[cell.own["choice"] == choice, "mean"].iloc[0]
        ax.plot(value, 1.5, transform=ax.get_xaxis_transform(), clip_on=False, **look)
    fig.text(start.x0 - 0.06 / fig.get_figwidth(), ax.get_position().y0, "accuracy (%)", ha="right", va="center")
