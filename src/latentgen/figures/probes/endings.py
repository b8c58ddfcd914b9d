"""Figure 10: what every layer holds at the end of training, by all probes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from latentgen.caption import Caption
from latentgen.figures.page import Drawing, Panel, Reader, Row, compose, facets, sentences, spread
from latentgen.numbers import averages, endings
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results, masc_keeps, probe_label
from latentgen.probes.compared import thresholds

#: The network's own rows: what they are called.
_NETWORK = {"end": "network, end", "best epoch": "best epoch (oracle)"}

# Inches: height of a cell, its width where there is room, width of a digit, and of a row of panels without the names to
# its left; at least so much, for the heading.
_CELL, _BROAD, _DIGIT, _WIDTH, _LEAST = 0.14, 0.2, 0.07, 5.75, 2.5


def all_probes(results: Results, reader: Reader) -> Drawing:
    """Figure 10, from the tables probes and history."""
    table, names = endings.all_probes(results)
    table = reader.rows(table, "layer")
    labels = {name: fitted_label(name, results.settings[name]) for name in names}
    shown = table[table["at"] != "initialisation"]
    norm = Normalize(100 * shown["mean"].min(), 100 * shown["mean"].max() + 1e-9)
    rows, n = [], facets.numbers(table)
    # As many columns for all models: they share the grid of a page.
    cells = shown.groupby(PAIR)["layer"].nunique().max()
    digits = len(f"{100 * shown['mean'].max():.0f}")
    most = max(1, min(facets.MOST, int(_WIDTH / (digits * _DIGIT * cells + 0.1))))
    for pair, block in facets.pairs(shown):
        layers = averages.layers(block)
        probes = [name for name in names if (block["series"] == name).any()]

        def panel(level: float, points: pd.DataFrame, layers=layers, probes=probes) -> Panel:
            def fill(ax: Axes) -> None:
                _heat_map(ax, points, probes, layers, labels, norm)

            return Panel(fill, facets.title(level, n(points)))

        height = _CELL * (len(probes) + len(_NETWORK) + 0.5)
        for line in facets.levels(block, most):
            rows.append(Row(facets.beside(block, line, panel), height, heading=facets.heading(pair)))
    beside = max(len(row.panels) for row in rows)
    width = max(_BROAD * cells, _LEAST / beside)
    return Drawing(compose(rows, panel_width=width), table, _caption(table, results))


def fitted_label(name: str, probe: Mapping[str, Any]) -> str:
    """The probe's label, with the labels that it was fitted on if those are not the given ones."""
    label = probe_label(name)
    return label if probe["fit_labels"] == "given" else f"{label} [{probe['fit_labels']}]"


def _heat_map(
    ax: Axes,
    points: pd.DataFrame,
    probes: Sequence[str],
    layers: Sequence[str],
    labels: Mapping[str, str],
    norm: Normalize,
) -> None:
    """Probes by layers, in percent, over the network's own rows."""
    ends = points[(points["at"] == "end") & points["series"].isin(probes)]
    values = 100 * ends.pivot(index="series", columns="layer", values="mean").reindex(index=probes, columns=layers)
    look = {"cmap": "viridis", "norm": norm, "aspect": "auto", "interpolation": "nearest"}
    right = len(layers) - 0.5
    ax.imshow(values.to_numpy(dtype=float), extent=(-0.5, right, len(probes) - 0.5, -0.5), **look)
    for (i, j), value in np.ndenumerate(values.to_numpy(dtype=float)):
        if np.isfinite(value):
            _number(ax, j, i, value, norm)
    # What was fitted on true labels is no rival of the others.
    given = ends[ends["fit_labels"] == "given"]
    best = given.loc[given["mean"].idxmax()] if len(given) else None
    for colour, width in (("white", 2.6), ("black", 1.2)) if best is not None else ():
        frame = {"fill": False, "edgecolor": colour, "linewidth": width, "clip_on": False, "zorder": 4}
        corner = layers.index(best["layer"]) - 0.5, probes.index(best["series"]) - 0.5
        ax.add_patch(Rectangle(corner, 1, 1, **frame))
    places = {labels[name]: place for place, name in enumerate(probes)}
    for place, (at, label) in enumerate(_NETWORK.items()):
        own = points[(points["series"] == "model") & (points["at"] == at)]["mean"]
        y = len(probes) + place + 0.3
        ax.imshow([[100 * own.iloc[0]]], extent=(-0.5, right, y + 0.5, y - 0.5), **look)
        _number(ax, (len(layers) - 1) / 2, y, 100 * own.iloc[0], norm)
        places[label] = y
    ax.set(xlim=(-0.5, right), ylim=(max(places.values()) + 0.5, -0.5))
    ax.set_xticks(range(len(layers)), layers, rotation=90)
    ax.set_yticks(list(places.values()), list(places))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _number(ax: Axes, x: float, y: float, value: float, norm: Normalize) -> None:
    dark = norm(value) < 0.6
    ax.text(x, y, f"{value:.0f}", ha="center", va="center", color="white" if dark else "black")


def _caption(table: pd.DataFrame, results: Results) -> Caption:
    cells = table[(table["at"] == "end") & (table["series"] != "model")]
    fitted = {results.settings[name]["fit_labels"] for name in cells["series"].unique()}
    return Caption(
        shown=(
            *(["MASC with fewer axes is left to Figure 11."] if thresholds(results.settings)[:-1] else []),
            *(
                ["The table also has probes of the untrained network."]
                if (table["at"] == "initialisation").any()
                else []
            ),
        ),
        scored=(
            *masc_keeps(results.settings),
            *(["In brackets: the labels that a probe was fitted on instead."] if fitted - {"given"} else []),
        ),
        seeds=sentences.over_seeds(table, _precision(cells)),
    )


def _precision(cells: pd.DataFrame) -> str:
    """How far the numbers in cells are to be trusted."""
    half = 100 * (spread.bounds(cells)["high"] - cells["mean"]).dropna()
    if len(half):
        return (
            f"95\xa0% Student t intervals of cells are ± {half.median():.1f} points in the median and at most "
            f"± {half.max():.1f}; the table has them"
        )
    return "the table has the runs"
