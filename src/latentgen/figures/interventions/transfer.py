"""Figure 6: networks whose readout is replaced, over the epochs, without further training."""

from collections.abc import Iterator, Mapping

import pandas as pd

from latentgen.caption import Caption
from latentgen.figures.page import Curve, Drawing, Legend, Reader, Strip, compose_strips, facets, lines, style
from latentgen.numbers import averages
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results
from latentgen.numbers.transfer import NEW, REPLACED, SCORED, of_variant, replaced_readouts

#: (split, labels) of a row of panels → label of its axis.
_AXES = {
    ("test", "true"): "test\naccuracy (%)",
    ("train", "given"): "training, given\nlabels (%)",
    ("train", "true"): "training, true\nlabels (%)",
}

#: What the legend calls each replaced readout.
_LABELS = {
    ("axis", "unit", 1.0, "zero"): "axes, zero bias",
    ("axis", "unit", 1.0, "kept"): "axes, bias kept",
    ("axis", "original", 1.0, "kept"): "axes as long as the old rows, bias kept",
    ("axis", "original", 0.5, "kept"): "halfway to those, bias kept",
    ("mean", "own", 1.0, "zero"): "class means, zero bias",
}


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 6, from the tables transfer and history."""
    table = replaced_readouts(results)
    new = reader.layers_of_models(of_variant(table, NEW))
    own = reader.looks({_LABELS[variant]: style.series_style(turn) for turn, variant in enumerate(REPLACED)})
    table = reader.rows(table, "layer")
    blocks = []
    for pair, block in facets.pairs(table):
        chance = results.chance.get(pair[0])
        replaced = block[block["head"] != "new"]
        if (replaced["head"] == "replaced").any():
            blocks.append((facets.heading(pair), list(_strips(replaced, _own_readouts(replaced, own), chance))))
        if (block["head"] == "new").any():
            looks = {layer: new[pair[1]][layer] for layer in averages.layers(of_variant(block, NEW))}
            strips = list(_strips(block, lines.of_layers(of_variant(block, NEW), looks), chance))
            legend = Legend("new readout on", [lines.handle(layer, look) for layer, look in looks.items()])
            blocks.append((f"{facets.heading(pair)}, new readouts", [strips[0]._replace(legend=legend), *strips[1:]]))
    edited = table[table["head"] == "replaced"]
    there = [_LABELS[variant] for variant in REPLACED if not of_variant(edited, variant).empty]
    handles = [lines.handle("network", style.NETWORK), *(lines.handle(label, own[label]) for label in there)]
    return Drawing(
        compose_strips(table, blocks, [*handles, *([lines.CHANCE] if results.chance else [])]), table, _caption(table)
    )


def _strips(block: pd.DataFrame, curves: list[Curve], chance: float | None) -> Iterator[Strip]:
    """One for each kind of examples and labels that the network is scored on."""
    network = Curve(block[block["series"] == "model"], style.NETWORK, stops={})
    for split, labels in SCORED:
        scored = [curve.of(split=split, labels=labels) for curve in (network, *curves)]
        if not scored[0].points.empty:
            yield Strip(_AXES[split, labels], scored, chance)


def _own_readouts(block: pd.DataFrame, looks: Mapping[str, dict]) -> list[Curve]:
    return [Curve(of_variant(block, variant), looks[_LABELS[variant]]) for variant in REPLACED]


def _caption(table: pd.DataFrame) -> Caption:
    new = "New readout: such axes, zero bias, put on that layer, the layers behind it left out."
    edited = table[table["head"] == "replaced"]
    unbiased = (edited["bias"] == "zero").groupby([edited[name] for name in PAIR]).all().any()
    return Caption(
        shown=(new,) if (table["head"] == "new").any() else (),
        caveats=("A readout that has no bias keeps none.",) if unbiased else (),
    )
