"""Figures 20 and 21: heat maps of rewinding, layer by epoch."""

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen import summary
from latentgen.figures import averages, heatmaps, layout, panels, rewinds, style
from latentgen.figures.averages import PAIR
from latentgen.figures.foot import LINE
from latentgen.figures.results import Results
from latentgen.summary import GRID_POINT
from latentgen.summary.selection import REWOUND, best, where, whole_sets

#: Columns of the tables behind the figures, after those of the grid point.
COLUMNS = [
    *["view", "series", "choice", "layer", "depth", "parameters", "weights", "batch_norm", "epoch", "mean", "low"],
    *["high", "n", "n_runs", "n_measured", "carried", "whole", "best", "first_best_epoch", "last_best_epoch", "metric"],
]

_BY = ["view", "kind", "layer", "depth", "parameters", "batch_norm"]
_VIEWS = ("test", "unpermuted", "permuted", "restored")

# Sizes in inches.
_ROW, _LEAST, _BELOW, _LEFT = 0.125, 0.9, 0.82, 0.85


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 20 or 21, from the tables rewind and history.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    rewind = rewinds.rows(results)
    first = rewind["batch_norm"].groupby([rewind[column] for column in PAIR]).transform(_first)
    rewind = where(rewind, rewind["batch_norm"] == first)
    shown = rewind["view"] == "test" if name == "fig20" else rewind["view"].isin(_VIEWS) & (rewind["kind"] == "suffix")
    table = _table(results, rewind[shown], rewinds.networks(rewind))
    footer = _footer(name, results, rewind[shown], table)
    return _figure(name, table, footer), table


def _first(batch_norm: pd.Series) -> str:
    """The way with batch normalisation that heat maps show."""
    return next(way for way in rewinds.LOOKS if (batch_norm == way).any())


def _table(results: Results, rewind: pd.DataFrame, own: dict[str, pd.DataFrame]) -> pd.DataFrame:
    by = [*GRID_POINT, *_BY]
    saved = averages.over_epochs(rewind[rewind["weights"] == "saved"], by).assign(weights="saved")
    redrawn = summary.over_seeds(rewinds.redrawn(rewind), by)
    redrawn = redrawn.assign(weights="redrawn", epoch=0, n_measured=redrawn["n_runs"], carried=False)
    maps = pd.concat([saved, redrawn], ignore_index=True) if len(redrawn) else saved
    maps["whole"] = whole_sets(maps)
    # The ring of every view is where the test view is best.
    there = maps[(maps["view"] == "test") & (maps["weights"] == "saved") & ~maps["whole"]]
    there = there.rename(columns={"mean": "value"})
    place = [*GRID_POINT, "kind", "layer", "epoch"]
    chosen = best(there, there, ["epoch", "layer"], [*GRID_POINT, "kind"])
    # At the last epoch nothing is put back, whatever layer is named.
    last = there.groupby(GRID_POINT, as_index=False)["epoch"].max().rename(columns={"epoch": "last"})
    chosen = chosen.merge(last, on=GRID_POINT).query("epoch < last")[place].assign(weights="saved", best=True)
    maps = maps.merge(chosen, on=[*place, "weights"], how="left").rename(columns={"kind": "series"})
    maps["best"] = maps["best"].eq(True)
    parts = [maps.assign(choice="fixed"), *_networks(own)]
    return rewinds.tidy(pd.concat(parts, ignore_index=True).assign(metric="accuracy"), results, COLUMNS, _VIEWS)


def _networks(own: dict[str, pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Rows of the networks with none and all layers put back, at their ends and their best epochs."""
    for choice in ("fixed", "oracle"):
        said = {"epoch": ("epoch", "mean")}
        if choice == "oracle":
            said |= {"first_best_epoch": ("epoch", "min"), "last_best_epoch": ("epoch", "max")}
        epochs = own[choice].groupby(GRID_POINT, as_index=False).agg(**said)
        part = summary.over_seeds(own[choice], GRID_POINT).merge(epochs, on=GRID_POINT)
        yield part.assign(choice=choice, series="model", view="test")


def _figure(name: str, table: pd.DataFrame, footer: Sequence[str]) -> Figure:
    several = [("test", kind) for kind in REWOUND] if name == "fig20" else [(view, "suffix") for view in _VIEWS]
    names, room = layout.names(table, 1.2)
    longest = max(style.text_width(layer) for layer in table["layer"].dropna())
    left = max(0.15 + longest + room, _LEFT)
    lines = []
    for point, block in table.groupby(GRID_POINT, sort=False):
        own, maps = block[block["series"] == "model"], block[block["series"] != "model"]
        norm = _norm(block)
        cells = []
        for view, kind in several:
            points = maps[(maps["view"] == view) & (maps["series"] == kind)]
            label = names[point[:3]] if (view, kind) == several[0] else None
            what = rewinds.KINDS[kind] if name == "fig20" else view
            title = "" if points.empty else _title(points, own if name == "fig20" else None, what)
            cells.append(None if points.empty else heatmaps.Cell(points, own, norm, title, label))
        height = max(_ROW * maps["layer"].nunique(), _LEAST)
        lines.append(layout.Line(cells, height, 0.22 + 3 * LINE, _BELOW))
    fig, placed = layout.page(lines, _handles(table), footer, left=left)
    for line in placed:
        for cell, ax in line:
            heatmaps.panel(ax, cell)
        heatmaps.colour_bar(fig, line[0][0], line[0][1], line[-1][1])
    return fig


def _norm(block: pd.DataFrame) -> Normalize:
    low, high = 100 * block["mean"].min(), 100 * block["mean"].max()
    return Normalize(low, high) if high - low > 0.1 else Normalize(low - 0.5, high + 0.5)


def _title(points: pd.DataFrame, own: pd.DataFrame | None, what: str) -> str:
    """Three lines; ``own``, the network's rows, set early stopping beside the ring."""
    values = [f"ring {100 * value:.1f}\xa0%" for value in points.loc[points["best"], "mean"]] or ["nothing gained"]
    if own is not None:
        values.append(f"early stopping {100 * own.loc[own['choice'] == 'oracle', 'mean'].iloc[0]:.1f}\xa0%")
    n = panels.spanned(points["n"])
    return f"corruption {points['level'].iloc[0]:g}, n = {n}\n{what}\n{', '.join(values)}"


def _handles(table: pd.DataFrame) -> list[Line2D]:
    handles = [
        Line2D([], [], label="network at its end, test", **heatmaps.END),
        Line2D([], [], label="network at its best epoch, test (oracle)", **heatmaps.STOPPED),
        Line2D([], [], label="best epoch of the network (oracle), first to last run", **heatmaps.BEST_EPOCH),
    ]
    if table["best"].any():
        ring = {**heatmaps.RING, "markeredgecolor": "black", "markersize": 5.0}
        handles.append(Line2D([], [], label="best test accuracy of a kind (oracle)", **ring))
    return handles


def _footer(name: str, results: Results, rewind: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    kinds = "single layers, first layers or last layers" if name == "fig20" else "last layers"
    text = [
        f"Accuracy of the networks at their end with the weights of some layers put back to a saved epoch: {kinds}. "
        "Layers from the input side (top) to the output.",
        "Columns are saved epochs in equal steps, 0 the initialisation, the last the network as it is.",
    ]
    if (rewind["weights"] == "redrawn").any():
        text.append(f"Random: weights of another initialisation, mean over {rewinds.draws(rewind)}.")
    if name == "fig20":
        text.append("Scored on test examples (true labels).")
    else:
        text.append(
            "Test: test examples by true labels; unpermuted: training examples whose given label is the true one; "
            "permuted: mislabelled ones by the given label; restored: mislabelled ones by the true label. All "
            "rings are where the test heat map is highest."
        )
    text += [
        "Beyond the white line all layers are put back: the network at that epoch, which is no rewinding but early "
        "stopping, and no candidate for the ring.",
        "Ring: the highest mean test accuracy of a heat map, one choice for all runs; early stopping: the network at "
        "its best saved epoch, in each run. Both are oracles, chosen on test data, the ring out of layers and epochs, "
        "early stopping out of epochs alone, so that the ring gains more by chance.",
        *rewinds.batch_norms(rewind, results.rewind),
    ]
    if table["carried"].any():
        text.append("A run that has stopped stands in later columns with its last value.")
    if name == "fig21":
        text += rewinds.missing(results.rewind.loc[results.rewind["view"].isin(_VIEWS), ["level", "n"]])
    text += [*rewinds.seeds(table), *rewinds.sizes(results, rewind)]
    text.append("The panels of a line share their colours, other lines have their own.")
    return text
