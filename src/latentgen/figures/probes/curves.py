"""Figures 1-5: accuracy of layer-wise probes over the epochs of training, and differences between probes."""

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from latentgen.activations import INPUT
from latentgen.caption import Caption
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
from latentgen.numbers import averages
from latentgen.numbers.probes import over_training
from latentgen.numbers.results import Results, masc_keeps, probe_label


def _draw(probe: str, minus: str | None, results: Results, reader: Reader) -> Drawing:
    """The accuracy of ``probe``, or of that minus another, from the tables probes and history."""
    table = over_training(results, probe, minus)
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


def _short(probe: str) -> str:
    return probe_label(probe).split()[0]
