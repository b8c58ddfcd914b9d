"""Figures 1-5: accuracy of layer-wise probes over the epochs of training, and differences between probes.

They are the counterparts of Figures 1-5 of Ketha & Ramaswamy, "On the Dynamics & Transferability of Latent
Generalization during Memorization" (TMLR 2026, arXiv 2603.19865).
"""

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentgen import summary
from latentgen.figures import style
from latentgen.summary import GRID_POINT, RUN

#: Columns that name a row of panels.
_PAIR = GRID_POINT[:3]

#: Columns of the table behind a figure, after the columns of the grid point.
COLUMNS = [
    *["series", "layer", "depth", "epoch", "mean", "low", "high", "n", "n_runs", "n_measured", "carried"],
    *["fit_labels", "split", "labels", "metric"],
]

_MODEL_LINE = {"color": "black", "linestyle": (0, (1, 1.2)), "linewidth": 1.2, "zorder": 3}
_STOP_MARKS = {"linestyle": "", "marker": "v", "markersize": 2.4, "markeredgewidth": 0, "color": "black"}
_REFERENCE_LINE = {"color": "0.6", "linewidth": 0.6, "zorder": 1}

# Sizes in inches. Six levels are what fits a page at a readable size; more go on in a further row.
_LEFT, _GAP, _LINE, _ROW_GAP, _XLABEL = 0.58, 0.1, 0.125, 0.26, 0.34
_MOST_COLUMNS = 6


class Curves(NamedTuple):
    """The accuracy of one probe, or of one probe minus another, by the names of `draw`'s parameters."""

    probe: str
    minus: str | None = None


FIGURES = {
    "fig1": Curves("masc"),
    "fig2": Curves("velpic"),
    "fig3": Curves("velpic", "masc"),
    "fig4": Curves("logistic"),
    "fig5": Curves("masc", "logistic"),
}


def draw(
    name: str,
    probes: pd.DataFrame,
    history: pd.DataFrame,
    *,
    masc: str = "masc",
    velpic: str = "velpic",
    logistic: str = "logistic",
    chance: Mapping[str, float] | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Draw one of the figures 1-5.

    Rows of panels are datasets, models and noise kinds, columns the noise levels. A line per layer shows the
    mean over data seeds, a band its 95 % Student t interval; the model's own test accuracy is dotted
    (accuracies only).

    Parameters
    ----------
    name : str
        A key of `FIGURES`.
    probes, history : DataFrame
        Columns of ``latentgen.tables.PROBES`` and ``latentgen.tables.HISTORY``. Used are the test accuracies
        against true labels, of probes fitted on the given labels.
    masc, velpic, logistic : str
        Names under which the configuration has the three probes.
    chance : mapping of str to float, optional
        Accuracy of guessing, a fraction, by dataset; drawn where it is given.

    Returns
    -------
    fig : matplotlib.figure.Figure
        At most 7 inches wide.
    table : DataFrame
        What is drawn: grid point, ``series`` (a probe, ``"a - b"``, or ``model``), ``layer`` and ``depth``
        (null for the model), ``epoch``, ``mean, low, high`` (fractions; bounds null where n = 1), ``n`` (data
        seeds), ``n_runs``, ``n_measured`` (runs that had not stopped), ``carried`` (some had; see
        `latentgen.summary.carry_forward`), ``fit_labels, split, labels, metric``.

    Raises
    ------
    ValueError
        Unknown ``name``; a probe or the models' test accuracy is missing.
    """
    if name not in FIGURES:
        raise ValueError(f"figure {name!r} is unknown; there are {', '.join(FIGURES)}")
    roles = {"masc": masc, "velpic": velpic, "logistic": logistic}
    probe, minus = (roles.get(role) for role in FIGURES[name])
    table = _table(probes, history, probe, minus)
    labels = {masc: "MASC", velpic: "VeLPIC", logistic: "logistic regression"}
    with mpl.rc_context(style.RC):
        return _figure(table, probe, minus, labels, chance or {}), table


def _table(probes: pd.DataFrame, history: pd.DataFrame, probe: str, minus: str | None) -> pd.DataFrame:
    key = [*GRID_POINT, "layer", "depth"]
    rows = _probe_rows(probes, probe)
    if minus is not None:
        rows = summary.difference(rows, _probe_rows(probes, minus), [*RUN, "layer", "depth", "epoch"])
    series = probe if minus is None else f"{probe} - {minus}"
    parts = [_curves(rows, key).assign(series=series, fit_labels="given")]
    if minus is None:
        own = summary.model_accuracy(history)
        # Only of what was probed: a panel without layers says nothing.
        own = own.merge(rows[GRID_POINT].drop_duplicates(), on=GRID_POINT)
        if own.empty:
            raise ValueError("the history table holds no test accuracy of these models (mode 'evaluated')")
        parts.append(_curves(own, GRID_POINT).assign(series="model", layer=None, fit_labels="given"))
    table = pd.concat(parts, ignore_index=True)
    table["depth"] = table["depth"].astype("Int64")
    table["layer"] = table["layer"].astype("string")
    table = table.assign(split="test", labels="true", metric="accuracy")
    table = table.sort_values([*GRID_POINT, "series", "depth", "epoch"])
    # Rows of panels come in the order of the input, which is that of the configuration.
    return probes[_PAIR].drop_duplicates().merge(table, on=_PAIR)[[*GRID_POINT, *COLUMNS]]


def _probe_rows(probes: pd.DataFrame, probe: str) -> pd.DataFrame:
    rows = summary.probe_accuracy(probes, probe)
    if rows.empty:
        known = ", ".join(sorted(probes["probe"].unique())) or "none"
        raise ValueError(
            f"the probes table holds no test accuracy of probe {probe!r} (it has: {known}); "
            f"add it under the configuration key 'probes'"
        )
    return rows


def _curves(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    return summary.over_seeds(summary.carry_forward(rows, key), [*key, "epoch"])


def _figure(
    table: pd.DataFrame, probe: str, minus: str | None, labels: Mapping[str, str], chance: Mapping[str, float]
) -> Figure:
    levels = sorted(table["level"].unique())
    columns = min(len(levels), _MOST_COLUMNS)
    # A row of panels for each pair and six levels, unless the pair has none of them.
    rows = []
    for pair, block in table.groupby(_PAIR, sort=False):
        for start in range(0, len(levels), columns):
            shown = levels[start : start + columns]
            if block["level"].isin(shown).any():
                rows.append((pair, block, shown))
    models = {model: _layers(block) for model, block in table.groupby("model", sort=False)}
    styles = {model: style.layer_styles(layers) for model, layers in models.items()}
    names = [name for layers in models.values() for name in layers]
    titles = [f"{noise} noise" for (_, _, noise), _, _ in rows]
    right = max(0.45 + style.text_width(max([*names, "model itself"], key=len)), *map(style.text_width, titles))
    # One title stands for a column, unless levels go on in a further row or n differs between panels.
    several_n = table["n"].nunique() > 1
    titled = several_n or len(levels) > columns
    title = 0.2 + several_n * _LINE
    gap = _ROW_GAP + titled * (title - 0.06)

    width = min(2.6, (style.PAGE_WIDTH - _LEFT - right - (columns - 1) * _GAP) / columns)
    # The legend has its title, the layers and the model's line.
    height = max(min(2.2, 1.3 * width), 1.1, (3 + max(map(len, models.values()))) * _LINE)
    total = _LEFT + columns * width + (columns - 1) * _GAP + right
    footer = style.wrap(_footer(table, probe, minus, labels, chance), total - 0.2)
    bottom = _XLABEL + (len(footer) + 0.6) * _LINE
    tall = title + len(rows) * height + (len(rows) - 1) * gap + bottom
    fig = style.blank(total, tall)
    what = "test accuracy (%)"
    if minus is not None:
        what = f"{labels[probe].split()[0]} \N{MINUS SIGN} {labels[minus].split()[0]} (points)"
    for i, (pair, block, shown) in enumerate(rows):
        dataset, model, noise = pair
        base = tall - title - height - i * (height + gap)
        name = f"{dataset}, {model}"
        name = name if style.text_width(name) < height + 0.2 else f"{dataset}\n{model}"
        limits = _limits(block, minus is not None, chance.get(dataset))
        panels = [(j, level, block[block["level"] == level]) for j, level in enumerate(shown)]
        panels = [panel for panel in panels if not panel[2].empty]
        for j, level, points in panels:
            left = _LEFT + j * (width + _GAP)
            ax = fig.add_axes((left / total, base / tall, width / total, height / tall))
            style.epoch_axis(ax, int(block["epoch"].max()))
            ax.set_ylim(limits)
            ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            if minus is not None:
                ax.axhline(0, **_REFERENCE_LINE)
            elif dataset in chance:
                ax.axhline(100 * chance[dataset], **_REFERENCE_LINE)
            _panel(ax, points, styles[model])
            if titled or not _in_any(level, rows[:i]):
                n = f"\nn = {points['n'].max()}" if several_n else ""
                ax.set_title(f"corruption {level:g}{n}", pad=3)
            if j == panels[0][0]:
                ax.set_ylabel(f"{name}\n{what}", labelpad=2, linespacing=1.2)
            else:
                ax.tick_params(labelleft=False)
            if i == len(rows) - 1 or not (titled or _in_any(level, rows[i + 1 :])):
                ax.set_xlabel("epoch", labelpad=1)
        if i == 0 or rows[i - 1][0] != pair:
            place = ((total - right + 0.04) / total, (base + height + 0.06) / tall)
            _legend(fig, styles[model], _layers(block), noise, minus is None, place)
    for k, text in enumerate(footer):
        fig.text(0.1 / total, (len(footer) - k - 0.4) * _LINE / tall, text, va="center", color="0.25")
    return fig


def _in_any(level: float, rows: list) -> bool:
    return any((block["level"] == level).any() for _, block, _ in rows)


def _panel(ax: Axes, points: pd.DataFrame, styles: Mapping[str, dict]) -> None:
    own = points[points["layer"].isna()]
    if not own.empty:
        _line(ax, own, _MODEL_LINE)
    curves = points[points["layer"].notna()]
    layers = _layers(curves)
    for turn, layer in enumerate(layers):
        curve = curves[curves["layer"] == layer]
        every = style.marked(ax, curve["epoch"].to_numpy(), turn, len(layers))
        look = {"linewidth": 0.9, "zorder": 2, "markersize": 2.6, "markeredgewidth": 0, **styles[layer]}
        _line(ax, curve, look, every)
    # Every layer of a run is measured at the same epochs, so the last curve stands for all.
    stops = curve["epoch"][curve["n_measured"].diff(-1) > 0]
    if not stops.empty:
        ax.plot(stops, np.full(len(stops), 0.025), transform=ax.get_xaxis_transform(), **_STOP_MARKS)


def _line(ax: Axes, curve: pd.DataFrame, look: dict, every: list[int] | None = None) -> None:
    """Line with its band in percent; thinner from where runs have stopped."""
    x, y = curve["epoch"].to_numpy(), 100 * curve["mean"].to_numpy()
    band = (100 * curve["low"].to_numpy(), 100 * curve["high"].to_numpy())
    ax.fill_between(x, *band, color=look["color"], alpha=0.13, linewidth=0, zorder=look["zorder"] - 1)
    whole = int((~curve["carried"]).sum())
    ax.plot(x[:whole], y[:whole], **look, markevery=[k for k in every or [] if k < whole])
    if whole < len(x):
        ax.plot(
            *(x[max(whole - 1, 0) :], y[max(whole - 1, 0) :]),
            **{**look, "linewidth": 0.5 * look["linewidth"], "markersize": 2.0},
            markevery=[k - whole + 1 for k in every or [] if k >= whole],
        )


def _layers(block: pd.DataFrame) -> list[str]:
    return list(block.dropna(subset="layer").sort_values("depth")["layer"].unique())


def _limits(block: pd.DataFrame, signed: bool, chance: float | None) -> tuple[float, float]:
    """Limits in percent for one row of panels.

    Bands count up to half of what the means span, so that two seeds do not flatten every line.
    """
    low, high = 100 * block["mean"].min(), 100 * block["mean"].max()
    reference = 0.0 if signed else 100 * chance if chance is not None else low
    low, high = min(low, reference), max(high, reference)
    room = max((high - low) / 2, 1.0)
    # Of bounds that are null, as those of one seed are, min and max keep the mean.
    low = max(low - room, min(low, 100 * block["low"].min()))
    high = min(high + room, max(high, 100 * block["high"].max()))
    floor, ceiling = (-100.0, 100.0) if signed else (0.0, 100.0)
    margin = 0.04 * (high - low) + 0.5
    return max(low, floor) - margin, min(high, ceiling) + margin


def _legend(
    fig: Figure,
    styles: Mapping[str, dict],
    layers: list[str],
    noise: str,
    own: bool,
    place: tuple[float, float],
) -> None:
    handles = [Line2D([], [], label=name, linewidth=0.9, markersize=3.2, **styles[name]) for name in layers]
    if own:
        handles.append(Line2D([], [], label="model itself", **_MODEL_LINE))
    fig.legend(
        handles=handles,
        title=f"{noise} noise",
        loc="upper left",
        bbox_to_anchor=place,
        frameon=False,
        handlelength=2.0,
        labelspacing=0.3,
        borderaxespad=0,
        alignment="left",
    )


def _footer(
    table: pd.DataFrame, probe: str, minus: str | None, labels: Mapping[str, str], chance: Mapping[str, float]
) -> list[str]:
    scored = "on test examples (true labels), by layer; probes fitted on the given (noisy) training labels."
    if minus is None:
        text = [f"{labels[probe][0].upper()}{labels[probe][1:]}: accuracy in % {scored}"]
    else:
        text = [f"{labels[probe]} minus {labels[minus]}: accuracy in percentage points {scored}"]
    n = sorted(table["n"].unique())
    if n[-1] == 1:
        text.append("One data seed (n\xa0=\xa01): no interval.")
    else:
        seeds = f"n\xa0=\xa0{n[0]}" if n[0] == n[-1] else f"n\xa0=\xa0{n[0]}\xa0to\xa0{n[-1]}"
        paired = ", paired within runs" if minus is not None else ""
        text.append(f"Mean over {seeds} data seeds; bands: 95\xa0% Student t interval{paired}.")
    if (table["n_runs"] > table["n"]).any():
        text.append("Model seeds of a data seed are averaged first.")
    if minus is None:
        text.append("Dotted: the model's own test accuracy.")
        if chance:
            text.append("Grey line: chance.")
    text.append("Epoch 0 is the initialisation; the axis is linear to 1, then logarithmic.")
    if table["carried"].any():
        text.append("Triangles: a run stopped; thinner lines carry its last value on.")
    return text
