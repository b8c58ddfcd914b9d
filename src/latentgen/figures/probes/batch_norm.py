"""Figure 14: features read in two modes of batch normalisation."""

import pandas as pd

from latentgen.caption import Caption
from latentgen.figures.page import Curve, Drawing, Legend, Reader, Strip, compose_strips, facets, lines, style
from latentgen.numbers import averages
from latentgen.numbers.probes import batch_norm, difference
from latentgen.numbers.results import Results, probe_label
from latentgen.probes.compared import mode_pairs

_GREY = {"color": "0.35", "marker": "o"}


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 14, from the tables probes and history."""
    pairs = mode_pairs(results.settings)
    table = batch_norm(results, pairs)
    styles = reader.layers_of_models(table)
    table = reader.rows(table, "layer")
    blocks = []
    for running, example in pairs:
        gap = difference(example, running)
        of_pair = table[table["series"].isin([running, example, gap, "model"])]
        for pair, block in facets.pairs(of_pair):
            looks = {layer: styles[pair[1]][layer] for layer in averages.layers(block)}
            series = {name: points for name, points in block.groupby("series")}
            network = Curve(series["model"], style.NETWORK, stops={}, band=False)
            solid = lines.of_layers(series[running], looks)
            dashed = lines.of_layers(series[example], {layer: style.hollow(look) for layer, look in looks.items()})
            both = [curve._replace(band=False, marks=2) for curve in (*solid, *dashed)]
            legend = Legend(probe_label(running), [lines.handle(layer, look) for layer, look in looks.items()])
            gaps = lines.of_layers(series[gap], looks)
            strips = [
                Strip("test\naccuracy (%)", [network, *both], results.chance.get(pair[0]), legend=legend),
                Strip("difference\n(points)", gaps, 0.0, signed=True),
            ]
            blocks.append((facets.heading(pair), strips))
    handles = [
        lines.handle("network, running statistics", style.NETWORK),
        lines.handle("running statistics", _GREY),
        lines.handle("each example's own statistics", style.hollow(_GREY)),
        lines.handle("chance; no difference" if results.chance else "no difference", style.REFERENCE),
    ]
    return Drawing(compose_strips(table, blocks, handles), table, _caption(table))


def _caption(table: pd.DataFrame) -> Caption:
    fitted = " and ".join(sorted(table["fit_labels"].unique()))
    return Caption(
        scored=(f"Probes are fitted on the {fitted} labels of the training examples.",),
        seeds=("Bands or runs are drawn at the differences only.",) if table["n"].max() > 1 else (),
    )
