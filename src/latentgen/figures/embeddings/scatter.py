"""Figure 26: two-dimensional embeddings of training examples over training, coloured by given and by true labels."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.caption import Caption
from latentgen.embeddings.declaration import METHODS, MIN_DISTANCE, NEIGHBORS, PERPLEXITY
from latentgen.figures.page import Drawing, Panel, Reader, Row, compose
from latentgen.numbers import embeddings
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results
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

#: Height of a panel in inches, and the width that it has at least.
_SIDE, _WIDTH = 0.92, 1.0


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 26, from the tables embeddings and history; `latentgen.numbers.embeddings` says which are drawn."""
    shown = results.replaced(embeddings=reader.rows(results.embeddings, "layer"))
    table, left_out = embeddings.points(shown)
    several = bool((shown.embeddings[RUN].drop_duplicates().groupby(PAIR).size() > 1).any())
    looks = reader.looks({str(k): {"color": colour} for k, colour in enumerate(_colours(_classes(table)))})
    colours = [look["color"] for look in looks.values()]
    return Drawing(_pages(table, colours), table, _caption(table, several, left_out))


def _caption(table: pd.DataFrame, several: bool, left_out: int) -> Caption:
    methods = [method for method in METHODS if (table["method"] == method).any()]
    shown = [
        f"{'; '.join(_SETTINGS[method] for method in methods)}.",
        f"T: trustworthiness among {NEIGHBORS} neighbours (1: all neighbours in the embedding are neighbours in the "
        "layer).",
    ]
    caveats = []
    moving = " and ".join(_NAMES[method] for method in methods if method != "pca")
    if moving:
        shown.append(f"{moving}: started from the arrangement before, at first from principal components.")
        caveats.append(f"In {moving} sizes of clusters and distances between them mean little.")
    if _classes(table) > _NAMED:
        caveats.append(f"Colours: {_classes(table)} classes, too many to tell apart.")
    if table["x"].isna().any():
        caveats.append("Undefined: all examples are equal in that layer, or some value is not finite.")
    chosen = []
    if several:
        chosen.append(
            "Shown is the highest level below 1 that has mislabelled examples, and of several runs there the first."
        )
    if left_out:
        caveats.append(
            f"Embeddings of {left_out} more layers, methods or models would not fit; the table of embeddings has them."
        )
    runs = " and ".join(
        f"data seed {data_seed}, model seed {model_seed}"
        for data_seed, model_seed in table[["data_seed", "model_seed"]].drop_duplicates().itertuples(index=False)
    )
    seeds = (f"n counts the examples of an embedding, which is of one run ({runs}).",)
    return Caption(shown=tuple(shown), seeds=seeds, chosen=tuple(chosen), caveats=tuple(caveats))


# --- the page -------------------------------------------------------------------------------------


def _pages(table: pd.DataFrame, colours: Sequence[str]) -> list[Figure]:
    """Two blocks beside one another; the rows of a block are its epochs."""
    blocks = [block for _, block in table.groupby(embeddings.BLOCK, sort=False)]
    rows = []
    for start in range(0, len(blocks), 2):
        shown = blocks[start : start + 2]
        epochs = [sorted(block["epoch"].unique()) for block in shown]
        for place in range(max(map(len, epochs))):
            panels: list[Panel | None] = []
            for block, of_block in zip(shown, epochs, strict=True):
                there = place < len(of_block)
                points = block[block["epoch"] == of_block[place]] if there else block.iloc[:0]
                panels += _views(points, colours, titled=place == 0) if there else [None] * len(_VIEWS)
            rows.append(Row(panels, _SIDE, joined=place > 0, together=1))
    return compose(rows, _handles(table, colours), panel_width=_WIDTH)


def _heading(points: pd.DataFrame) -> str:
    first = points.iloc[0]
    lines = [
        f"{first['dataset']}, {first['model']}",
        f"{first['noise']} noise, level {first['level']:g}",
        f"{_NAMES[first['method']]} of {first['layer']}, n\xa0=\xa0{first['n']}, {first['n_mislabelled']} mislabelled",
    ]
    return "\n".join(lines)


def _views(points: pd.DataFrame, colours: Sequence[str], *, titled: bool) -> list[Panel]:
    """Panels of one epoch of a block."""
    first = points.iloc[0]
    trust = "" if pd.isna(first["trustworthiness"]) else f"T = {first['trustworthiness']:.2f}"
    at = [] if first["at"] in ("first", "between") else [first["at"]]
    label = "\n".join([f"epoch {first['epoch']}", *at, trust]).rstrip()
    return [
        Panel(
            partial(
                _panel, points=points, view=view, colours=colours, label=label if view == next(iter(_VIEWS)) else ""
            ),
            view if titled else "",
            heading=_heading(points) if titled and view == next(iter(_VIEWS)) else "",
        )
        for view in _VIEWS
    ]


def _panel(ax: Axes, points: pd.DataFrame, view: str, colours: Sequence[str], label: str) -> None:
    mislabelled, labels = _VIEWS[view]
    shown = (points["given_label"] != points["true_label"]) == mislabelled
    others, coloured = points[~shown], points[shown]
    if points["x"].isna().any():
        ax.text(0.5, 0.5, "undefined", transform=ax.transAxes, ha="center", va="center", color="0.4")
    else:
        ax.scatter(others["x"], others["y"], **_OTHERS)
        ax.scatter(coloured["x"], coloured["y"], c=[colours[k] for k in coloured[labels]], **_MARKS)
    _square(ax, points)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="0.6", linewidth=0.5)
    if label:
        ax.text(-0.08, 0.5, label, transform=ax.transAxes, ha="right", va="center")


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
