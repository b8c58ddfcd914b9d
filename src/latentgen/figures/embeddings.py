"""Figure 26: two-dimensional embeddings of training examples over training, coloured by given and by true labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.embeddings.declaration import METHODS, MIN_DISTANCE, NEIGHBORS, PERPLEXITY
from latentgen.figures import embedding_tables, foot, layout, style
from latentgen.figures.averages import PAIR
from latentgen.figures.foot import LINE
from latentgen.figures.results import Results
from latentgen.summary import RUN

#: Columns of panels: whether they colour mislabelled examples or the others, and by which label.
_VIEWS = {
    "unpermuted": (False, "given_label"),
    "permuted": (True, "given_label"),
    "restored": (True, "true_label"),
}

_NAMES = {"umap": "UMAP", "pca": "PCA", "tsne": "t-SNE"}
_SETTINGS = {
    "umap": f"UMAP (umap-learn, {NEIGHBORS} neighbours, least distance {MIN_DISTANCE:g})",
    "pca": "PCA (first two components)",
    "tsne": f"t-SNE (scikit-learn, perplexity {PERPLEXITY:g})",
}

#: Classes up to which colours are named.
_NAMED = 20

_OTHERS = {"color": "0.84", "s": 1.3, "linewidths": 0, "zorder": 1, "rasterized": True}
_MARKS = {"s": 3.2, "linewidths": 0, "zorder": 2, "rasterized": True}

# Sizes in inches.
_RIGHT, _GAP, _BETWEEN, _WIDEST, _ENTRY = 0.1, 0.05, 0.12, 1.25, 0.33


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 26, from the tables embeddings and history; `latentgen.figures.embedding_tables` says which are drawn.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    table, left_out = embedding_tables.points(results)
    several = bool((results.embeddings[RUN].drop_duplicates().groupby(PAIR).size() > 1).any())
    return _figure(table, _footer(table, several, left_out)), table


def _footer(table: pd.DataFrame, several: bool, left_out: int) -> list[str]:
    methods = [method for method in METHODS if (table["method"] == method).any()]
    text = [
        "Embeddings of n training examples of one run: an illustration without interval.",
        "The panels of a row hold the same points, and labels have no part in where they lie. Coloured are: "
        "unpermuted, examples whose given label is the true one, by that label; permuted, mislabelled examples, by the "
        "given label; restored, the same ones, by the true label. Light grey: the others.",
        "Examples are drawn so that half are mislabelled where there are as many; the training set has another share.",
        "Best: the highest test accuracy of the network among epochs with embeddings (an oracle); others are spread "
        "evenly over the logarithm.",
        f"{'; '.join(_SETTINGS[method] for method in methods)}: embedded for each saved epoch, then rotated, reflected "
        "and shifted onto the saved epoch before.",
    ]
    moving = " and ".join(_NAMES[method] for method in methods if method != "pca")
    if moving:
        text.append(
            f"{moving}: started from the arrangement before, at first from principal components; sizes of clusters and "
            "distances between them mean little."
        )
    text += [
        "Axes have no unit; the panels of a row have the same limits, each row its own.",
        f"T: trustworthiness among {NEIGHBORS} neighbours (1: all neighbours in the embedding are neighbours in the "
        "layer).",
    ]
    if _classes(table) > _NAMED:
        text.append(f"Colours: {_classes(table)} classes, too many to tell apart.")
    if table["x"].isna().any():
        text.append("Undefined: all examples are equal in that layer, or some value is not finite.")
    if several:
        text.append(
            "Shown is the highest level below 1 that has mislabelled examples, and of several runs there the first."
        )
    if left_out:
        text.append(
            f"Embeddings of {left_out} more layers, methods or models would not fit; the table of embeddings has them."
        )
    return text


# --- the page -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """Points of one block, its title line by line, and its epochs."""

    points: pd.DataFrame
    title: list[str]
    epochs: list[int]


def _figure(table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    groups = [block for _, block in table.groupby(embedding_tables.BLOCK, sort=False)]
    columns = min(2, len(groups))
    left = style.text_width(f"epoch {max(table['epoch'].max(), 1000)}") + 0.14
    free = style.PAGE_WIDTH - _RIGHT - (columns - 1) * _BETWEEN - columns * (left + 2 * _GAP)
    side = min(_WIDEST, free / (3 * columns))
    width = left + 3 * side + 2 * _GAP
    blocks = [_Block(points, _title(points, width - left), sorted(points["epoch"].unique())) for points in groups]
    total = columns * width + (columns - 1) * _BETWEEN + _RIGHT
    colours = _colours(_classes(table))
    below = _foot(_handles(table, colours), footer, total)
    lines = list(layout.in_lines(blocks, columns))
    above = [(max(len(block.title) for block in line) + 1.9) * LINE for line in lines]
    deep = [max(len(block.epochs) for block in line) * (side + _GAP) for line in lines]
    tall = sum(above) + sum(deep) + 0.05 + below.height
    fig = style.blank(total, tall)
    top = tall
    for line, head, height in zip(lines, above, deep, strict=True):
        for place, block in enumerate(line):
            x = left + place * (width + _BETWEEN)
            for k, title in enumerate(block.title):
                fig.text(x / total, (top - (k + 0.7) * LINE) / tall, title, va="center")
            for i, j, ax in _grid(fig, block, (x, top - head), side):
                _panel(ax, block, i, list(_VIEWS)[j], colours)
        top -= head + height
    below.draw(fig)
    return fig


def _foot(handles: Sequence[Line2D], footer: Sequence[str], width: float) -> foot.Foot:
    """Legends are filled column by column, but read line by line."""
    deep = -(-len(handles) // int((width - 0.2) / _ENTRY)) or 1
    beside = -(-len(handles) // deep) or 1
    handles = [handle for start in range(beside) for handle in handles[start::beside]]
    return foot.Foot(handles, footer, width, beside, handlelength=0.8, handletextpad=0.3, columnspacing=0.9)


def _title(points: pd.DataFrame, width: float) -> list[str]:
    first = points.iloc[0]
    what = f"{first['dataset']}, {first['model']}, {first['noise']} noise, corruption {first['level']:g}"
    which = (
        f"{_NAMES[first['method']]} of {first['layer']}; n\xa0=\xa0{first['n']}, {first['n_mislabelled']} mislabelled"
    )
    seeds = f"data seed {first['data_seed']}, model seed {first['model_seed']}"
    return [line for part in (what, which, seeds) for line in style.wrap([part], width)]


def _grid(fig: Figure, block: _Block, corner: tuple[float, float], side: float) -> Iterator[tuple[int, int, Axes]]:
    """Row, column and panel; ``corner`` is the upper left one, in inches."""
    total, tall = fig.get_size_inches()
    for i in range(len(block.epochs)):
        for j in range(len(_VIEWS)):
            x, y = corner[0] + j * (side + _GAP), corner[1] - side - i * (side + _GAP)
            yield i, j, fig.add_axes((x / total, y / tall, side / total, side / tall))


def _panel(ax: Axes, block: _Block, row: int, view: str, colours: Sequence[str]) -> None:
    points = block.points[block.points["epoch"] == block.epochs[row]]
    first = points.iloc[0]
    mislabelled, label = _VIEWS[view]
    shown = (points["given_label"] != points["true_label"]) == mislabelled
    others, coloured = points[~shown], points[shown]
    if points["x"].isna().any():
        ax.text(0.5, 0.5, "undefined", transform=ax.transAxes, ha="center", va="center", color="0.4")
    else:
        ax.scatter(others["x"], others["y"], **_OTHERS)
        ax.scatter(coloured["x"], coloured["y"], c=[colours[k] for k in coloured[label]], **_MARKS)
    _square(ax, points)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color="0.6", linewidth=0.5)
    if row == 0:
        ax.set_title(view, pad=2.5)
    if view == next(iter(_VIEWS)):
        trust = "" if pd.isna(first["trustworthiness"]) else f"T = {first['trustworthiness']:.2f}"
        at = [] if first["at"] in ("first", "between") else [first["at"]]
        label = "\n".join([f"epoch {first['epoch']}", *at, trust]).rstrip()
        ax.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=3)


def _square(ax: Axes, points: pd.DataFrame) -> None:
    """Limits that hold the points of a row, with one scale for both axes."""
    extent = points[["x", "y"]].agg(["min", "max"])
    if extent.isna().any(axis=None):
        return
    centers, half = extent.mean(), 0.53 * (extent.loc["max"] - extent.loc["min"]).max()
    ax.set(xlim=(centers["x"] - half, centers["x"] + half), ylim=(centers["y"] - half, centers["y"] + half))
    ax.set_aspect("equal")


def _classes(table: pd.DataFrame) -> int:
    return int(table[["true_label", "given_label"]].max(axis=None)) + 1


def _colours(classes: int) -> list[str]:
    """Seaborn's ten for colour-blind readers, black and wine in place of two that come near grey; of more, hues."""
    if classes > 10:
        return [to_hex(colour) for colour in sns.husl_palette(classes, s=0.95, l=0.6)]
    colours = [to_hex(colour) for colour in sns.color_palette("colorblind")]
    return [{"#949494": "#000000", "#fbafe4": "#882255"}.get(colour, colour) for colour in colours]


def _handles(table: pd.DataFrame, colours: Sequence[str]) -> list[Line2D]:
    """Legend of the classes, with its name before it; none where there are too many."""
    if _classes(table) > _NAMED:
        return []
    marks = {"linestyle": "", "marker": "o", "markersize": 3.6, "markeredgewidth": 0}
    named = [Line2D([], [], color=colours[k], label=str(k), **marks) for k in range(_classes(table))]
    return [Line2D([], [], linestyle="", label="class"), *named]
