"""Figure 19: latent generalization against capacity."""

from functools import partial

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen.caption import Caption
from latentgen.figures.geometry import views
from latentgen.figures.page import Drawing, Panel, Reader, Row, compose, facets, lines, sentences, style
from latentgen.numbers import geometry
from latentgen.numbers.latent import HALVES, PANELS, against_capacity
from latentgen.numbers.results import Results, masc_keeps
from latentgen.summary import FEWEST, GRID_POINT

#: Panel → what stands against capacity in it.
_AGAINST = {
    "each layer": "MASC, each layer (%)",
    "best layer": "MASC, best layer (%)",
    "gap, permuted": "MASC \N{MINUS SIGN} network (points)",
    "gap, restored": "MASC \N{MINUS SIGN} network (points)",
}

#: Marks: their look without its colour.
_MARKS = {
    "masc": {"marker": "o", "markersize": 2.6, "markeredgewidth": 0},
    "last layer": {"marker": "D", "markersize": 2.8, "markeredgewidth": 0},
    "earlier": {"marker": "o", "markersize": 2.4, "markeredgewidth": 0.5, "markerfacecolor": "none"},
    "model": {"marker": "s", "markersize": 2.8, "markeredgewidth": 0.6, "markerfacecolor": "none"},
}
_LABELS = {
    "masc": "MASC, or minus network",
    "last layer": "MASC on the last hidden layer",
    "earlier": "minus network, before its best epoch",
    "model": "network",
}

#: Height of a panel in inches.
_HEIGHT = 1.3

#: Epochs in the legend.
_EPOCHS = 8


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 19, from the tables geometry, probes and history."""
    capacity = reader.rows(geometry.rows(results, ["capacity"]))
    table = against_capacity(results, capacity)
    return Drawing(_pages(table), table.drop(columns=HALVES), _caption(table, capacity, results))


def _caption(table: pd.DataFrame, capacity: pd.DataFrame, results: Results) -> Caption:
    return Caption(
        shown=(
            "Columns: MASC on each hidden layer against the capacity of the test view there; MASC on its best hidden "
            "layer and the network against the test view's capacity on the last hidden layer; their difference, the "
            "generalization that is latent, against the capacity of the permuted view there, that is against "
            "memorisation; the same against the restored view's.",
            "Capacity is in classes per feature, of mean-field theory, after the axes that class centres share are "
            "removed.",
            *views.sizes(capacity),
            "Each panel has axes of its own.",
        ),
        scored=(
            "Each view describes its own examples; nothing is fitted on some and scored on others.",
            *masc_keeps(results.settings),
        ),
        seeds=(
            f"{views.data_seeds(table)}. ρ: Spearman correlation within a run{_averaged(table)}, over all epochs, or "
            "over the later ones, from the network's best measured epoch on.",
        ),
        caveats=(*views.few_classes(capacity), *views.missing(capacity)),
    )


def _averaged(table: pd.DataFrame) -> str:
    """What the caption says of means over data seeds and of their intervals, printed or left out."""
    if table.groupby(GRID_POINT)["data_seed"].nunique().max() == 1:
        return ", without interval"
    # Titles of two series leave out the later epochs.
    later = table["later_spearman"].notna() & (table["panel"] != "best layer")
    halves = pd.concat([table.loc[table["spearman"].notna(), "half"], table.loc[later, "later_half"]])
    if halves.notna().all():
        return ", mean over data seeds with its 95\xa0% Student t interval (±)"
    if halves.isna().all():
        return f", mean over data seeds, without interval (fewer than {FEWEST} data seeds with ρ)"
    return (
        ", mean over data seeds with its 95\xa0% Student t interval (±; left out where fewer than "
        f"{FEWEST} data seeds have ρ)"
    )


def _pages(table: pd.DataFrame) -> list[Figure]:
    shown = [panel for panel in PANELS if (table["panel"] == panel).any()]
    colours, rows = _epoch_colours(table), []
    for (*pair, level), block in facets.points(table):
        last = block.loc[block["depth"].idxmax(), "layer"]
        panels: list[Panel | None] = []
        for panel in shown:
            points = block[block["panel"] == panel]
            x_label = f"{PANELS[panel]} capacity,\n{'same layer' if panel == 'each layer' else last}"
            filled = Panel(partial(_panel, points=points, colours=colours), _title(points, _AGAINST[panel]), x_label)
            panels.append(None if points.empty else filled)
        n = facets.spanned(block["n"])
        rows.append(Row(panels, _HEIGHT, heading=f"{facets.heading(pair)}, level {level:g}, n = {n}", together=1))
    return compose(rows, _handles(table, colours))


def _title(points: pd.DataFrame, what: str) -> str:
    """What stands against capacity, and correlations, of two series or of all and of later epochs."""
    text = [what]
    for series, of_series in points.groupby("series", sort=False):
        first = of_series.iloc[0]
        if points["series"].nunique() > 1:
            text.append(_correlation("network" if series == "model" else "MASC", first, ""))
        else:
            text += [_correlation("all epochs", first, ""), _correlation("later", first, "later_")]
    return "\n".join(text)


def _correlation(what: str, row: pd.Series, prefix: str) -> str:
    value, half = row[f"{prefix}spearman"], row[f"{prefix}half"]
    if pd.isna(value):
        return f"ρ, {what}: undefined"
    return f"ρ, {what}: {sentences.signed(value, '.2f')}" + ("" if pd.isna(half) else f" ± {half:.2f}")


def _epoch_colours(table: pd.DataFrame) -> dict[int, str]:
    """Colour of each epoch: dark to light along a logarithmic axis that has room for epoch 0."""
    epochs = sorted(table["epoch"].unique())
    along = np.log1p(epochs) / max(np.log1p(epochs[-1]), 1.0)
    colours = sns.color_palette("viridis", as_cmap=True)(0.85 * along)
    return {int(epoch): to_hex(colour) for epoch, colour in zip(epochs, colours, strict=True)}


def _handles(table: pd.DataFrame, colours: dict[int, str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color="0.3", linestyle="", label=label, **{**_MARKS[name], "markersize": 3.2})
        for name, label in _LABELS.items()
        if name != "earlier" or (table["series"] == "masc - model").any()
    ]
    handles.append(Line2D([], [], label=views.UNSTRUCTURED_LABEL, **views.UNSTRUCTURED))
    if (table["series"] == "masc - model").any():
        handles.append(lines.EQUAL)
    epochs = list(colours)
    # Even along the colours, which is along the logarithm.
    along = np.log1p(epochs)
    targets = np.linspace(along[0], along[-1], min(_EPOCHS, len(epochs)))
    for place in sorted({int(np.abs(along - target).argmin()) for target in targets}):
        look = {**_MARKS["masc"], "markersize": 4.0}
        handles.append(
            Line2D([], [], color=colours[epochs[place]], linestyle="", label=f"epoch {epochs[place]}", **look)
        )
    return handles


def _panel(ax: Axes, points: pd.DataFrame, colours: dict[int, str]) -> None:
    look = {"linestyle": "", "zorder": 2}
    # Late epochs lie over early ones.
    for (epoch, mark), marks in points.groupby(["epoch", _marks(points)]):
        ax.plot(marks["capacity"], 100 * marks["value"], color=colours[epoch], **look, **_MARKS[mark])
    for value in sorted(points["unstructured"].unique()):
        ax.axvline(value, **views.UNSTRUCTURED)
    if (points["series"] == "masc - model").any():
        ax.axhline(0.0, **style.REFERENCE)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _marks(points: pd.DataFrame) -> pd.Series:
    """Name of each point's mark."""
    deepest = (points["panel"] == "each layer") & (points["depth"] == points["depth"].max())
    earlier = (points["series"] == "masc - model") & ~points["later"]
    marks = np.select([points["series"] == "model", deepest, earlier], ["model", "last layer", "earlier"], "masc")
    return pd.Series(marks, index=points.index, name="mark")
