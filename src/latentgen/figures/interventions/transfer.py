"""Figure 6: networks whose readout is replaced, over the epochs, without further training."""

from collections.abc import Iterator, Mapping

import pandas as pd

from latentgen.caption import Caption
from latentgen.figures.numbers import averages
from latentgen.figures.numbers.averages import PAIR
from latentgen.figures.numbers.results import Results
from latentgen.figures.page import Curve, Drawing, Legend, Reader, Strip, compose_strips, facets, lines, style
from latentgen.summary import GRID_POINT

#: (split, labels) of each row of panels → label of its axis.
_SCORED = {
    ("test", "true"): "test\naccuracy (%)",
    ("train", "given"): "training, given\nlabels (%)",
    ("train", "true"): "training, true\nlabels (%)",
}

_VARIANT = ["rows", "norm", "mix", "bias"]

#: Replaced readouts that are drawn, by the columns `_VARIANT`.
_REPLACED = {
    ("axis", "unit", 1.0, "zero"): "axes, zero bias",
    ("axis", "unit", 1.0, "kept"): "axes, bias kept",
    ("axis", "original", 1.0, "kept"): "axes as long as the old rows, bias kept",
    ("axis", "original", 0.5, "kept"): "halfway to those, bias kept",
    ("mean", "own", 1.0, "zero"): "class means, zero bias",
}

#: What a new readout has; on the last layer, the network's own with these is what a new one would be.
_NEW = ("axis", "unit", 1.0, "zero")


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 6, from the tables transfer and history.

    Raises ``ValueError`` where the tables hold no such networks.
    """
    table = _table(results)
    new = reader.layers_of_models(_variant(table, _NEW))
    own = reader.looks({label: style.series_style(turn) for turn, label in enumerate(_REPLACED.values())})
    table = reader.rows(table, "layer")
    blocks = []
    for pair, block in facets.pairs(table):
        chance = results.chance.get(pair[0])
        replaced = block[block["head"] != "new"]
        if (replaced["head"] == "replaced").any():
            blocks.append((facets.heading(pair), list(_strips(replaced, _own_readouts(replaced, own), chance))))
        if (block["head"] == "new").any():
            looks = {layer: new[pair[1]][layer] for layer in averages.layers(_variant(block, _NEW))}
            strips = list(_strips(block, lines.of_layers(_variant(block, _NEW), looks), chance))
            legend = Legend("new readout on", [lines.handle(layer, look) for layer, look in looks.items()])
            blocks.append((f"{facets.heading(pair)}, new readouts", [strips[0]._replace(legend=legend), *strips[1:]]))
    edited = table[table["head"] == "replaced"]
    there = [label for variant, label in _REPLACED.items() if not _variant(edited, variant).empty]
    handles = [lines.handle("network", style.NETWORK), *(lines.handle(label, own[label]) for label in there)]
    return Drawing(
        compose_strips(table, blocks, [*handles, *([lines.CHANCE] if results.chance else [])]), table, _caption(table)
    )


def _strips(block: pd.DataFrame, curves: list[Curve], chance: float | None) -> Iterator[Strip]:
    """One for each kind of examples and labels that the network is scored on."""
    network = Curve(block[block["series"] == "model"], style.NETWORK, stops={})
    for (split, labels), label in _SCORED.items():
        scored = [curve.of(split=split, labels=labels) for curve in (network, *curves)]
        if not scored[0].points.empty:
            yield Strip(label, scored, chance)


def _own_readouts(block: pd.DataFrame, looks: Mapping[str, dict]) -> list[Curve]:
    return [Curve(_variant(block, variant), looks[label]) for variant, label in _REPLACED.items()]


def _table(results: Results) -> pd.DataFrame:
    parts = [_scored(results, *scored) for scored in _SCORED]
    if not any(len(part) for part in parts):
        raise ValueError(
            "the transfer table holds no accuracy of edited networks; ask for it with the configuration key "
            "'interventions: transfer'"
        )
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _scored(results: Results, split: str, labels: str) -> pd.DataFrame:
    """The table of these examples and labels; empty where they were not scored."""
    transfer = results.transfer
    rows = transfer[
        (transfer["split"] == split)
        & (transfer["labels"] == labels)
        & (transfer["metric"] == "accuracy")
        & (transfer["rows"] != "none")
    ]
    # A readout that has no bias has none to keep: with zero bias it stands for what it would be with its own.
    unbiased = (rows["bias"] == "zero").groupby([rows[name] for name in PAIR]).transform("all")
    variants = rows[_VARIANT].assign(bias=rows["bias"].mask(unbiased & (rows["norm"] == "original"), "kept"))
    rows = rows[pd.MultiIndex.from_frame(variants).isin(list(_REPLACED))]
    if rows.empty:
        return rows
    key = [*GRID_POINT, "layer", "depth", "head", *_VARIANT]
    network = averages.networks(results.history, rows, split=split, labels=labels)
    parts = [averages.over_epochs(rows, key).assign(series="transfer", fit_labels="given"), network]
    parts = [part.assign(split=split, labels=labels, metric="accuracy") for part in parts]
    return averages.tidy(parts, transfer, ["head", *_VARIANT])


def _variant(edited: pd.DataFrame, variant: tuple[str, str, float, str]) -> pd.DataFrame:
    rows, norm, mix, bias = variant
    like = (edited["rows"] == rows) & (edited["norm"] == norm) & (edited["mix"] == mix)
    # Readouts as long as the old ones are there with one bias only, the one they have.
    return edited[like & ((edited["bias"] == bias) | (norm == "original"))]


def _caption(table: pd.DataFrame) -> Caption:
    new = "New readout: such axes, zero bias, put on that layer, the layers behind it left out."
    edited = table[table["head"] == "replaced"]
    unbiased = (edited["bias"] == "zero").groupby([edited[name] for name in PAIR]).all().any()
    return Caption(
        shown=(new,) if (table["head"] == "new").any() else (),
        caveats=("A readout that has no bias keeps none.",) if unbiased else (),
    )
