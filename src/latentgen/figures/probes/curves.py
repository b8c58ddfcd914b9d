"""Figures 1-5: accuracy of layer-wise probes over the epochs of training, and differences between probes."""

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from latentgen import summary
from latentgen.activations import INPUT
from latentgen.caption import Caption
from latentgen.figures.numbers import averages
from latentgen.figures.numbers.results import Results, masc_keeps, probe_label
from latentgen.figures.page import (
    Curve,
    Drawing,
    Legend,
    Reader,
    Strip,
    compose_strips,
    facets,
    lines,
    sentences,
    style,
)
from latentgen.summary import GRID_POINT, RUN
from latentgen.summary.portions import portions
from latentgen.summary.selection import MEASURED


def _draw(probe: str, minus: str | None, results: Results, reader: Reader) -> Drawing:
    """The accuracy of ``probe``, or of that minus another.

    Raises ``ValueError`` where a probe or the networks' test accuracy is missing.
    """
    table = _table(results, probe, minus)
    styles = reader.layers_of_models(table)
    table = reader.rows(table, "layer")
    label = "test accuracy (%)" if minus is None else f"{_short(probe)} \N{MINUS SIGN} {_short(minus)} (points)"
    blocks = []
    for pair, block in facets.pairs(table):
        looks = {layer: styles[pair[1]][layer] for layer in averages.layers(block)}
        *others, deepest = lines.of_layers(block, looks)
        # Every layer of a run is measured at the same epochs, so one marks for all where runs stopped.
        curves = [*others, deepest._replace(stops={})]
        legend = Legend("layer", [lines.handle(layer, look) for layer, look in looks.items()])
        if minus is None:
            own = Curve(block[block["layer"].isna()], style.NETWORK)
            strip = Strip(label, [own, *curves], results.chance.get(pair[0]), legend=legend)
        else:
            # The input, which training leaves as it is, would set the scale of differences.
            scale = block[block["layer"] != INPUT] if set(looks) - {INPUT} else block
            strip = Strip(label, curves, 0.0, True, legend, scale, _input_beyond)
        blocks.append((facets.heading(pair), [strip]))
    handles = [lines.EQUAL] if minus else [lines.handle("network", style.NETWORK)]
    if minus is None and results.chance:
        handles.append(lines.CHANCE)
    said = masc_keeps(results.settings) if "masc" in (probe, minus) else ()
    return Drawing(compose_strips(table, blocks, handles), table, Caption(scored=said))


masc = partial(_draw, "masc", None)
velpic = partial(_draw, "velpic", None)
velpic_minus_masc = partial(_draw, "velpic", "masc")
logistic = partial(_draw, "logistic", None)
masc_minus_logistic = partial(_draw, "masc", "logistic")


def _input_beyond(ax: Axes, points: pd.DataFrame) -> None:
    """The mean over epochs of the input, at the edge of a panel that its line leaves."""
    values = 100 * points.loc[points["layer"] == INPUT, "mean"]
    low, high = ax.get_ylim()
    if len(values) and not low < values.mean() < high:
        text = f"{INPUT}: {sentences.signed(values.mean())}"
        place = {"va": "bottom", "y": 0.03} if values.mean() <= low else {"va": "top", "y": 0.97}
        ax.text(0.97, s=text, transform=ax.transAxes, ha="right", color="0.3", **place)


def _table(results: Results, probe: str, minus: str | None) -> pd.DataFrame:
    probes = results.probes
    if minus is None:
        rows, series = averages.probe_rows(probes, probe), probe
    else:
        for name in (probe, minus):
            averages.probe_rows(probes[MEASURED], name)
        rows = pd.concat([_differences(part, probe, minus) for (part,) in portions(probes)], ignore_index=True)
        series = f"{probe} - {minus}"
    parts = [averages.over_epochs(rows, [*GRID_POINT, "layer", "depth"]).assign(series=series, fit_labels="given")]
    if minus is None:
        # Only of what was probed: a panel without layers says nothing.
        parts.append(averages.networks(results.history, rows, on=GRID_POINT))
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, probes)


def _differences(probes: pd.DataFrame, probe: str, minus: str) -> pd.DataFrame:
    both = [summary.probe_accuracy(probes, name) for name in (probe, minus)]
    return summary.difference(*both, [*RUN, "layer", "depth", "epoch"])


def _short(probe: str) -> str:
    return probe_label(probe).split()[0]
