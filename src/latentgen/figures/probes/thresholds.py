"""Figure 11: MASC on each layer by the variance, or the number of axes, that it keeps."""

from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from latentgen.caption import Caption
from latentgen.figures.page import Drawing, Panel, Reader, Row, axes, compose, facets, layers, lines, spread, style
from latentgen.numbers import averages
from latentgen.numbers.endings import by_variance
from latentgen.numbers.results import Results, kept

#: The network's own accuracies: how they are drawn, and what they are called.
_NETWORK = {
    "end": (style.NETWORK, "network, end"),
    "best epoch": (
        {"color": "black", "linestyle": (0, (5, 1.5)), "linewidth": 0.7, "zorder": 3},
        "network, best epoch (oracle)",
    ),
}

#: Most levels beside one another.
_MOST = 4


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 11, from the tables probes and history."""
    table, names = by_variance(results)
    styles = style.layer_styles(names)
    looks = reader.looks({kept(results.settings[name]): styles[name] for name in names})
    table = reader.rows(table, "layer")
    drawn = dict(zip(names, looks.values(), strict=True))
    n, rows = facets.numbers(table), []
    for pair, block in facets.pairs(table):
        named = averages.layers(block)
        chance, kept_axis = results.chance.get(pair[0]), _log_axis(block)

        def upper(level: float, points: pd.DataFrame, named=named, chance=chance) -> Panel:
            return Panel(lambda ax: _accuracies(ax, points, drawn, named, chance), facets.title(level, n(points)))

        def lower(level: float, points: pd.DataFrame, named=named, axis=kept_axis) -> Panel:
            return Panel(lambda ax: _ranks(ax, points, drawn, named, axis))

        for shown in facets.levels(block, _MOST):
            upper_row, lower_row = facets.beside(block, shown, upper), facets.beside(block, shown, lower)
            rows.append(Row(upper_row, 1.25, "test accuracy (%)", facets.heading(pair), together=1))
            rows.append(Row(lower_row, 0.75, "axes kept", joined=True))
    handles = [lines.handle(label, look) for label, look in looks.items()]
    handles += [lines.handle(label, look) for look, label in _NETWORK.values()]
    handles += [lines.CHANCE] if _reaches_chance(table, results.chance) else []
    return Drawing(compose(rows, handles), table, Caption(shown=("Each panel of accuracies has an axis of its own.",)))


def _reaches_chance(table: pd.DataFrame, chance: Mapping[str, float]) -> bool:
    """Whether some panel has a line at chance."""
    return any(_guessed(points, chance.get(point[0])) is not None for point, points in facets.points(table))


def _guessed(points: pd.DataFrame, chance: float | None) -> float | None:
    """Chance in percent, where the panel of ``points`` reaches it: a line far below would flatten all others."""
    low, high = axes.percent_limits(points)
    return None if chance is None or not low < 100 * chance < high else 100 * chance


def _accuracies(
    ax: Axes, points: pd.DataFrame, drawn: Mapping[str, dict], named: list[str], chance: float | None
) -> None:
    ax.set_ylim(axes.percent_limits(points))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if (guessed := _guessed(points, chance)) is not None:
        ax.axhline(guessed, **style.REFERENCE)
    for at, (look, _) in _NETWORK.items():
        own = points[(points["series"] == "model") & (points["at"] == at)].iloc[0]
        spread.level(ax, own, "black")
        ax.axhline(100 * own["mean"], **look)
    for name, look in drawn.items():
        layers.line(ax, points[points["series"] == name], named, look, scale=100)
    layers.axis(ax, named)


def _ranks(
    ax: Axes, points: pd.DataFrame, drawn: Mapping[str, dict], named: list[str], axis: Callable[[Axes], None]
) -> None:
    axis(ax)
    for name, look in drawn.items():
        rows = points[points["series"] == name].set_index("layer").reindex(named)
        ax.plot(range(len(named)), rows["rank"], **{**style.LINE, **look})
    layers.axis(ax, named)


def _log_axis(points: pd.DataFrame) -> Callable[[Axes], None]:
    kept_axes = points["rank"][points["rank"] > 0]

    def dress(ax: Axes) -> None:
        ax.set_yscale("log")
        ax.set_ylim(0.75 * kept_axes.min(), 1.4 * kept_axes.max())
        near = kept_axes.max() < 20 * kept_axes.min()
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if near else (1.0,)))
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        ax.yaxis.set_minor_locator(NullLocator())

    return dress
