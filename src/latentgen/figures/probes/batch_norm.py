"""Figure 14: features read in two modes of batch normalisation."""

from collections.abc import Iterable

import pandas as pd

from latentgen import summary
from latentgen.caption import Caption
from latentgen.figures.numbers import averages
from latentgen.figures.numbers.averages import PAIR
from latentgen.figures.numbers.results import Results, probe_label
from latentgen.figures.page import Curve, Drawing, Legend, Reader, Strip, compose_strips, facets, lines, style
from latentgen.probes.compared import mode_pairs
from latentgen.summary import GRID_POINT, RUN

_GREY = {"color": "0.35", "marker": "o"}


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 14, from the tables probes and history.

    Raises ``ValueError`` where the tables lack what is to be compared.
    """
    pairs = mode_pairs(results.settings)
    table = _table(results, pairs)
    styles = reader.layers_of_models(table)
    table = reader.rows(table, "layer")
    blocks = []
    for running, example in pairs:
        of_pair = table[table["series"].isin([running, example, _minus(example, running), "model"])]
        for pair, block in facets.pairs(of_pair):
            looks = {layer: styles[pair[1]][layer] for layer in averages.layers(block)}
            series = {name: points for name, points in block.groupby("series")}
            network = Curve(series["model"], style.NETWORK, stops={}, band=False)
            solid = lines.of_layers(series[running], looks)
            dashed = lines.of_layers(series[example], {layer: style.hollow(look) for layer, look in looks.items()})
            both = [curve._replace(band=False, marks=2) for curve in (*solid, *dashed)]
            legend = Legend(probe_label(running), [lines.handle(layer, look) for layer, look in looks.items()])
            gaps = lines.of_layers(series[_minus(example, running)], looks)
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


def _minus(example: str, running: str) -> str:
    return f"{example} - {running}"


def _table(results: Results, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    key = [*GRID_POINT, "layer", "depth"]
    found, gaps = {}, {}
    for running, example in pairs:
        both = [averages.probe_rows(results.probes, name) for name in (example, running)]
        gaps[example, running] = summary.difference(*both, [*RUN, "layer", "depth", "epoch"])
        found |= {example: both[0], running: both[1]}
    # Without batch normalisation the modes agree, which is drawn only where there is nothing else.
    differing = pd.concat([gap[gap["value"] != 0] for gap in gaps.values()])
    shown = (pd.concat(found.values()) if differing.empty else differing)[PAIR].drop_duplicates()
    parts = []
    for name, rows in found.items():
        probe = results.settings[name]
        part = averages.over_epochs(rows.merge(shown, on=PAIR), key)
        parts.append(part.assign(series=name, batch_norm=probe["batch_norm"], fit_labels=probe["fit_labels"]))
    for (example, running), gap in gaps.items():
        part = averages.over_epochs(gap.merge(shown, on=PAIR), key)
        fit_labels = results.settings[running]["fit_labels"]
        parts.append(part.assign(series=_minus(example, running), fit_labels=fit_labels))
    parts.append(averages.networks(results.history, shown, on=PAIR))
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, results.probes, ["batch_norm"])


def _caption(table: pd.DataFrame) -> Caption:
    fitted = " and ".join(sorted(table["fit_labels"].unique()))
    return Caption(
        scored=(f"Probes are fitted on the {fitted} labels of the training examples.",),
        seeds=("Bands or runs are drawn at the differences only.",) if table["n"].max() > 1 else (),
    )
