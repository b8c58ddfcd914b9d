"""Figure 25: networks that differ in width alone, by their size: double descent."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from latentgen.caption import Caption
from latentgen.figures.page import Drawing, Panel, Reader, Row, axes, compose, facets, lines, sentences, spread, style
from latentgen.numbers.descent import by_size
from latentgen.numbers.results import Results
from latentgen.summary import FEWEST
from latentgen.summary.descent import FEWEST_SEEDS, SWEEP

_AT_END = {"color": "black", "marker": "o", "linestyle": "-"}
_AT_BEST = style.hollow({"color": style.series_style(0)["color"], "marker": "D"})
_TRAINED = {**style.series_style(1), "linestyle": "-"}

#: Panels from the top down: label, height in inches, and the measures in them.
_PANELS = {
    "test": ("test accuracy (%)", 1.4, ("test_best", "test_last")),
    "train": ("training\naccuracy (%)", 0.8, ("train_last",)),
    "radius": ("radius", 0.8, ("radius_best", "radius_last")),
    "dimension": ("dimension", 0.8, ("dimension_best", "dimension_last")),
}
#: Measure → what it is called, and its look.
_LABELS = {
    "test_last": ("at the run's last epoch", _AT_END),
    "test_best": ("at its best epoch (oracle)", _AT_BEST),
    "train_last": ("training examples, given labels, at the last epoch", _TRAINED),
}
_SAME_LOOK = {f"{name}_{at}": f"test_{at}" for name in ("radius", "dimension") for at in ("best", "last")}
_RING = {"color": style.series_style(3)["color"], "linestyle": "", "marker": "o", "markersize": 6.0, "zorder": 3}
_RING |= {"markerfacecolor": "none", "markeredgewidth": 0.8}

#: Sizes that vertical lines stand at.
_SIZES = {
    "as many weights as training examples": {"color": "0.45", "linestyle": (0, (1, 1.2)), "linewidth": 0.9},
    "as many as training examples × classes": {"color": "0.45", "linestyle": (0, (5, 2)), "linewidth": 0.7},
}

#: Columns of panels beside one another.
_BESIDE = 3


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 25, from the tables history and layers, and from geometry where the grid has it."""
    table = reader.rows(by_size(results))
    looks = reader.looks(dict(_LABELS.values()))
    drawn = {measure: looks[label] for measure, (label, _) in _LABELS.items()}
    sweeps = [block for _, block in table.groupby(SWEEP, sort=False)]
    rows = []
    for start in range(0, len(sweeps), _BESIDE):
        shown = sweeps[start : start + _BESIDE]
        for name, (label, height, measures) in _PANELS.items():
            panels = [_panel_of(block, name, measures, drawn) for block in shown]
            if any(panels):
                first = name == next(iter(_PANELS))
                rows.append(Row(panels, height, label, joined=not first, together=1))
    return Drawing(compose(rows, _handles(table, drawn)), table, _caption(table, results))


def _panel_of(block: pd.DataFrame, name: str, measures: Sequence[str], drawn: Mapping[str, dict]) -> Panel | None:
    points = block[block["measure"].isin(measures)]
    if points.empty:
        return None
    fill = partial(_panel, name=name, points=points, block=block, drawn=drawn)
    return Panel(fill, "\n".join(_title(block)) if name == "test" else "", "trained weights")


def _title(block: pd.DataFrame) -> list[str]:
    first = block.iloc[0]
    n = facets.spanned(block["n"])
    names = [f"{first['dataset']}, {first['noise']} noise", f"level {first['level']:g}, n = {n}", first["sweep"]]
    return [*names, _depth(first)]


def _depth(row: pd.Series) -> str:
    """What a title says of the dip, in percentage points."""
    if pd.isna(row["real"]):
        return "dip not tested"
    changes = []
    for name, sign in (("drop", -1), ("rise", 1)):
        change = sentences.signed(100 * sign * row[name], "+.1f")
        half = f" ± {100 * (row[f'{name}_high'] - row[name]):.1f}" if row["n"] >= FEWEST else ""
        changes.append(change + half)
    # Two lines: in one it would run into the next panel.
    return f"{'dip' if row['real'] else 'no clear dip'}, in points:\n{', '.join(changes)}"


def _panel(ax: Axes, name: str, points: pd.DataFrame, block: pd.DataFrame, drawn: Mapping[str, dict]) -> None:
    accuracy = name in ("test", "train")
    scale = 100 if accuracy else 1
    for measure in _PANELS[name][2]:
        rows = points[points["measure"] == measure]
        look = {**style.LINE, **drawn[_SAME_LOOK.get(measure, measure)]}
        spread.along(ax, rows["parameters"], rows, look, scale=scale)
        ax.plot(rows["parameters"], scale * rows["mean"], **look)
    dip = points[points["dip"].notna() & points["real"].fillna(False)]
    ax.plot(dip["parameters"], scale * dip["mean"], **_RING)
    ax.set_xscale("log")
    low, high = _spanned(block)
    ax.set_xlim(low / 1.3, high * 1.3)
    for size, look in zip(_sizes(block), _SIZES.values(), strict=True):
        if low <= size <= high:
            ax.axvline(size, **look, zorder=1)
    if name == "radius":
        # Of a class whose centre all but vanishes with the axes it is far above the others.
        axes.plain_axis(points, log=True)(ax)
    else:
        bounds, marks = spread.bounds(points), spread.marks(points)
        ax.set_ylim(axes.percent_limits(points) if accuracy else axes.limits(bounds, marks))
        ax.yaxis.set_major_locator(MaxNLocator(5 if name == "test" else 3, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_locator(axes.log_locator(*ax.get_xlim()))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", length=1.4, width=0.4)


def _spanned(block: pd.DataFrame) -> tuple[int, int]:
    return block["parameters"].min(), block["parameters"].max()


def _sizes(block: pd.DataFrame) -> list[float]:
    """Sizes of `_SIZES`; NaN where the number of classes is not known."""
    examples, classes = block[["examples", "classes"]].iloc[0]
    return [examples, np.nan if pd.isna(classes) else examples * classes]


def _handles(table: pd.DataFrame, drawn: Mapping[str, dict]) -> list[Line2D]:
    handles = [
        lines.handle(label, drawn[measure])
        for measure, (label, _) in _LABELS.items()
        if (table["measure"] == measure).any()
    ]
    if table["real"].fillna(False).any():
        handles.append(Line2D([], [], label="dip", **{**_RING, "markersize": 4.5}))
    return [*handles, *(Line2D([], [], label=label, **_SIZES[label]) for label in _drawn_sizes(table))]


def _drawn_sizes(table: pd.DataFrame) -> list[str]:
    there = {
        label
        for _, block in table.groupby(SWEEP)
        for label, size in zip(_SIZES, _sizes(block), strict=True)
        if _spanned(block)[0] <= size <= _spanned(block)[1]
    }
    return [label for label in _SIZES if label in there]


def _caption(table: pd.DataFrame, results: Results) -> Caption:
    shown, caveats = [], []
    if table["real"].notna().any():
        shown.append(
            "Dip: how final accuracy changes, in points, from the smaller of three networks to the middle one and from "
            f"there to the larger, with 95\xa0% t intervals (±, from {FEWEST} data seeds on). For each data seed the "
            "others choose the three, so that choosing does not flatter the depth. A dip is clear, and ringed where "
            "the mean has it, where accuracy falls and rises and neither interval reaches 0."
        )
        caveats.append(
            "Choices of the three networks share data, so that intervals of a dip are approximate: somewhat too narrow."
        )
    if table["real"].isna().any():
        caveats.append(f"A dip is not tested with fewer than {FEWEST_SEEDS} data seeds that have every network.")
    if table["layer"].notna().any():
        deep = table[table["layer"].notna()]
        layers = ", ".join(sorted(deep["layer"].unique()))
        of_test = results.geometry[results.geometry["model"].isin(deep["model"]) & (results.geometry["view"] == "test")]
        classes, points = (facets.spanned(of_test[column]) for column in ("classes", "points"))
        shown.append(
            f"Radius (logarithmic) and dimension, on the last probed layer ({layers}): mean-field theory of the "
            f"manifolds of {classes} classes, {points} test examples of each, after the axes that class centres share "
            "are removed; best epoch: of those measured."
        )
        caveats.append("The theory is one of many classes: of few, its values are indicative.")
    if _drawn_sizes(table):
        caveats.append(
            "Vertical lines are for orientation: how many weights it takes to fit all labels depends on more."
        )
    return Caption(shown=tuple(shown), caveats=tuple(caveats))
