"""Figure 25: networks that differ in width alone, by their size: double descent."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from latentgen.figures import axes, layout, panels, spread, style
from latentgen.figures.foot import LINE
from latentgen.figures.results import Results
from latentgen.figures.sweeps import by_size
from latentgen.summary import FEWEST
from latentgen.summary.descent import FEWEST_SEEDS, SWEEP

_AT_END = {"color": "black", "marker": "o", "linestyle": "-"}
_AT_BEST = style.hollow({"color": style.series_style(0)["color"], "marker": "D"})
_TRAINED = {**style.series_style(1), "linestyle": "-"}

#: Panels from the top down: label, height in inches, and the look of each measure in them.
_PANELS = {
    "test": ("test accuracy (%)", 1.4, {"test_best": _AT_BEST, "test_last": _AT_END}),
    "train": ("training\naccuracy (%)", 0.8, {"train_last": _TRAINED}),
    "radius": ("radius", 0.8, {"radius_best": _AT_BEST, "radius_last": _AT_END}),
    "dimension": ("dimension", 0.8, {"dimension_best": _AT_BEST, "dimension_last": _AT_END}),
}
_LABELS = {
    "test_last": ("at the run's last epoch", _AT_END),
    "test_best": ("at its best epoch (oracle)", _AT_BEST),
    "train_last": ("training examples, given labels, at the last epoch", _TRAINED),
}
_CURVE = {"linewidth": 0.9, "markersize": 2.8, "markeredgewidth": 0, "zorder": 2}
_RING = {"color": style.series_style(3)["color"], "linestyle": "", "marker": "o", "markersize": 6.0, "zorder": 3}
_RING |= {"markerfacecolor": "none", "markeredgewidth": 0.8}

#: Sizes that vertical lines stand at.
_SIZES = {
    "as many weights as training examples": {"color": "0.45", "linestyle": (0, (1, 1.2)), "linewidth": 0.9},
    "as many as training examples × classes": {"color": "0.45", "linestyle": (0, (5, 2)), "linewidth": 0.7},
}

# Sizes in inches, and columns of panels beside one another.
_LEFT, _TICKS, _BETWEEN, _BESIDE = 0.55, 0.32, 0.1, 3


class _Cell(NamedTuple):
    """One panel: ``points`` of a sweep that all its panels together show as ``block``; None leaves a text out."""

    panel: str
    points: pd.DataFrame
    block: pd.DataFrame
    title: str | None
    label: str | None
    bottom: bool


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 25, from the tables history and layers, and from geometry where the grid has it.

    Raises ``ValueError`` where no three networks that differ in width alone have runs, or a table lacks what belongs
    to them.
    """
    table = by_size(results)
    return _figure(table, _footer(table, results)), table


def _figure(table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    sweeps = [block for _, block in table.groupby(SWEEP, sort=False)]
    beside = min(_BESIDE, len(sweeps))
    lines = []
    for shown in layout.in_lines(sweeps, beside):
        # Of each sweep, its panels from the top down.
        own = [[name for name in _PANELS if _points(block, name).any()] for block in shown]
        for name in (name for name in _PANELS if any(name in names for names in own)):
            cells: list[_Cell | None] = []
            for block, names in zip(shown, own, strict=True):
                label = _PANELS[name][0] if not any(cells) else None
                title = "\n".join(_title(block)) if name == "test" else None
                cell = _Cell(name, block[_points(block, name)], block, title, label, name == names[-1])
                cells.append(cell if name in names else None)
            above = 0.1 + 4 * LINE if name == "test" else _BETWEEN
            below = _TICKS if any(cell and cell.bottom for cell in cells) else 0.0
            fill = [None] * (beside - len(cells))
            lines.append(layout.Line([*cells, *fill], _PANELS[name][1], above, below))
    fig, placed = layout.page(lines, _handles(table), footer, left=_LEFT)
    for cell, ax in (panel for line in placed for panel in line):
        _panel(ax, cell)
    return fig


def _points(block: pd.DataFrame, panel: str) -> pd.Series:
    return block["measure"].isin(list(_PANELS[panel][2]))


def _title(block: pd.DataFrame) -> list[str]:
    first = block.iloc[0]
    n = panels.spanned(block["n"])
    names = [f"{first['dataset']}, {first['noise']} noise", f"corruption {first['level']:g}, n = {n}", first["sweep"]]
    return [*names, _depth(first)]


def _depth(row: pd.Series) -> str:
    """What a title says of the dip, in percentage points."""
    if pd.isna(row["real"]):
        return "dip not tested"
    changes = []
    for name, sign in (("drop", -1), ("rise", 1)):
        change = f"{100 * sign * row[name]:+.1f}".replace("-", "\N{MINUS SIGN}")
        half = f" ± {100 * (row[f'{name}_high'] - row[name]):.1f}" if row["n"] >= FEWEST else ""
        changes.append(change + half)
    return f"{'dip' if row['real'] else 'no clear dip'}: {', '.join(changes)}"


def _panel(ax: Axes, cell: _Cell) -> None:
    accuracy = cell.panel in ("test", "train")
    scale = 100 if accuracy else 1
    for measure, look in _PANELS[cell.panel][2].items():
        points = cell.points[cell.points["measure"] == measure]
        x = points["parameters"]
        spread.along(ax, x, points, look, scale=scale)
        ax.plot(x, scale * points["mean"], **{**_CURVE, **look})
    dip = cell.points[cell.points["dip"].notna() & cell.points["real"].fillna(False)]
    ax.plot(dip["parameters"], scale * dip["mean"], **_RING)
    ax.set_xscale("log")
    low, high = _spanned(cell.block)
    ax.set_xlim(low / 1.3, high * 1.3)
    for size, look in zip(_sizes(cell.block), _SIZES.values(), strict=True):
        if low <= size <= high:
            ax.axvline(size, **look, zorder=1)
    if cell.panel == "radius":
        # Of a class whose centre all but vanishes with the axes it is far above the others.
        axes.short_axis(cell.points, log=True)(ax)
    else:
        bounds, marks = spread.bounds(cell.points), spread.marks(cell.points)
        ax.set_ylim(layout.limits(cell.points) if accuracy else axes.limits(bounds, marks))
        ax.yaxis.set_major_locator(MaxNLocator(5 if cell.panel == "test" else 3, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_locator(axes.log_locator(*ax.get_xlim()))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", length=1.4, width=0.4)
    ax.tick_params(labelbottom=cell.bottom)
    layout.dress(ax, cell.title, cell.label, "trained weights" if cell.bottom else None)


def _spanned(block: pd.DataFrame) -> tuple[int, int]:
    return block["parameters"].min(), block["parameters"].max()


def _sizes(block: pd.DataFrame) -> list[float]:
    """Sizes of `_SIZES`; NaN where the number of classes is not known."""
    examples, classes = block[["examples", "classes"]].iloc[0]
    return [examples, np.nan if pd.isna(classes) else examples * classes]


def _handles(table: pd.DataFrame) -> list[Line2D]:
    looks = {
        label: {**_CURVE, **look} for measure, (label, look) in _LABELS.items() if (table["measure"] == measure).any()
    }
    if table["real"].fillna(False).any():
        looks["dip"] = {**_RING, "markersize": 4.5}
    drawn = [
        label
        for _, block in table.groupby(SWEEP)
        for label, size in zip(_SIZES, _sizes(block), strict=True)
        if _spanned(block)[0] <= size <= _spanned(block)[1]
    ]
    looks |= {label: look for label, look in _SIZES.items() if label in drawn}
    return [Line2D([], [], label=label, **look) for label, look in looks.items()]


def _footer(table: pd.DataFrame, results: Results) -> list[str]:
    text = [
        "Networks that differ in width alone, by how many trained weights they have (logarithmic). Test accuracy: on "
        "test examples (true labels), at the last epoch of each run and, hollow, at the epoch that is best on them, an "
        "oracle: chosen on test data, among all epochs. Training accuracy: on the given (noisy) labels, which networks "
        "are trained on.",
        *layout.seeds(table, "bands", "thin lines"),
    ]
    if table["real"].notna().any():
        text.append(
            "Dip: how final accuracy changes, in points, from the smaller of three networks to the middle one and from "
            f"there to the larger, with 95\xa0% t intervals (±, from {FEWEST} data seeds on). For each data seed the "
            "others choose the three, so that choosing does not flatter the depth; choices share data, so intervals "
            "are approximate. Clear, and ringed where the mean has it: accuracy falls and rises, and neither interval "
            "reaches 0."
        )
    if table["real"].isna().any():
        text.append(f"Not tested: fewer than {FEWEST_SEEDS} data seeds with every network.")
    if any(handle.get_label() in _SIZES for handle in _handles(table)):
        text.append("Vertical lines are for orientation: how many weights it takes to fit all labels depends on more.")
    if (table["layer"].notna()).any():
        deep = table[table["layer"].notna()]
        layers = ", ".join(sorted(deep["layer"].unique()))
        of_test = results.geometry[results.geometry["model"].isin(deep["model"]) & (results.geometry["view"] == "test")]
        classes, points = (panels.spanned(of_test[column]) for column in ("classes", "points"))
        text.append(
            f"Radius (logarithmic) and dimension, on the last probed layer ({layers}): mean-field theory of the "
            f"manifolds of {classes} classes, {points} test examples of each, after the axes that class centres share "
            "are removed; best epoch: of those measured. The theory is one of many classes: of few, its values are "
            "indicative."
        )
    return text
