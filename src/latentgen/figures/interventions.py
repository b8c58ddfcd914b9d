"""Figures 6-9: networks whose readout is replaced, over the epochs, and trainings that go on after such an edit.

Both are interventions of Ketha & Ramaswamy, "On the Dynamics & Transferability of Latent Generalization during
Memorization" (TMLR 2026, arXiv 2603.19865).
"""

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures import averages, panels, style
from latentgen.figures.averages import PAIR
from latentgen.figures.panels import Curve, Legend, Row
from latentgen.figures.results import Results
from latentgen.summary import GRID_POINT


class Scored(NamedTuple):
    """Examples and labels that a figure of weight transfer shows, and what they are called there."""

    split: str
    labels: str
    measure: str
    on: str


_SCORED = {
    "fig6": Scored("test", "true", "test accuracy (%)", "test examples (true labels)"),
    "fig7": Scored("train", "given", "accuracy, given (%)", "training examples, given (noisy) labels"),
    "fig8": Scored("train", "true", "accuracy, true (%)", "training examples, true labels"),
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

#: Trainings that went on, by the columns rows and bias of the table of edits, with their line styles.
_CONTINUED = {
    ("axis", "zero"): ("axes, zero bias", "-"),
    ("axis", "kept"): ("axes, bias kept", style.DASH_DOT),
    ("none", "kept"): ("control: fresh optimiser only", style.DASHED),
}


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """One of the figures 6-9, from the tables transfer or edit, and history.

    Raises ``ValueError`` where the tables hold no such networks.
    """
    return _continued(results) if name == "fig9" else _transferred(results, _SCORED[name])


def _transferred(results: Results, scored: Scored) -> tuple[Figure, pd.DataFrame]:
    table = _transfer_table(results, scored)
    looks = {variant: style.series_style(turn) for turn, variant in enumerate(_REPLACED)}
    rows, drawn = [], {}
    for (dataset, model, noise), block in table.groupby(PAIR, sort=False):
        network = Curve(block[block["series"] == "model"], panels.NETWORK, "network", stops={})
        edited = block[block["series"] == "transfer"]
        own = edited[edited["head"] == "replaced"]
        curves = {variant: Curve(_variant(own, variant), looks[variant], _REPLACED[variant]) for variant in _REPLACED}
        curves = {variant: curve for variant, curve in curves.items() if not curve.points.empty}
        drawn |= curves
        names, chance = [dataset, model, f"{noise} noise"], results.chance.get(dataset)
        inner = (edited["head"] == "new").any()
        legend = Legend("own readout\nreplaced") if inner else None
        rows.append(Row(names, scored.measure, [network, *curves.values()], legend, reference=chance))
        if inner:
            # On the last layer, the network's own readout with zero bias is what a new one would be.
            axes = _variant(edited, ("axis", "unit", 1.0, "zero"))
            layers = averages.layers(axes)
            styles = style.layer_styles(layers)
            lines = [Curve(axes[axes["layer"] == layer], styles[layer], layer) for layer in layers]
            legend = Legend("new readout\nput on", lines)
            rows.append(Row(names, scored.measure, [network, *lines], legend, reference=chance))
    below = [network, *(drawn[variant] for variant in _REPLACED if variant in drawn)]
    return panels.draw(rows, _transfer_footer(table, scored, bool(results.chance)), below=below), table


def _transfer_table(results: Results, scored: Scored) -> pd.DataFrame:
    transfer = results.transfer
    rows = transfer[
        (transfer["split"] == scored.split)
        & (transfer["labels"] == scored.labels)
        & (transfer["metric"] == "accuracy")
        & (transfer["rows"] != "none")
    ]
    # A readout that has no bias has none to keep: with zero bias it stands for what it would be with its own.
    unbiased = (rows["bias"] == "zero").groupby([rows[name] for name in PAIR]).transform("all")
    variants = rows[_VARIANT].assign(bias=rows["bias"].mask(unbiased & (rows["norm"] == "original"), "kept"))
    rows = rows[pd.MultiIndex.from_frame(variants).isin(list(_REPLACED))]
    if rows.empty:
        raise ValueError(
            f"the transfer table holds no accuracy of edited networks on split {scored.split!r}, labels "
            f"{scored.labels!r}; ask for it with the configuration key 'interventions: transfer'"
        )
    key = [*GRID_POINT, "layer", "depth", "head", *_VARIANT]
    network = averages.networks(results.history, rows, split=scored.split, labels=scored.labels)
    parts = [averages.over_epochs(rows, key).assign(series="transfer", fit_labels="given"), network]
    parts = [part.assign(split=scored.split, labels=scored.labels, metric="accuracy") for part in parts]
    return averages.tidy(parts, transfer, ["head", *_VARIANT])


def _variant(edited: pd.DataFrame, variant: tuple[str, str, float, str]) -> pd.DataFrame:
    rows, norm, mix, bias = variant
    like = (edited["rows"] == rows) & (edited["norm"] == norm) & (edited["mix"] == mix)
    # Readouts as long as the old ones are there with one bias only, the one they have.
    return edited[like & ((edited["bias"] == bias) | (norm == "original"))]


def _transfer_footer(table: pd.DataFrame, scored: Scored, chance: bool) -> list[str]:
    text = [
        f"Networks whose readout is replaced, without further training: accuracy in % on {scored.on}.",
        "Axes: the unit vectors of VeLPIC, fitted with the given (noisy) labels of the training examples on the layer "
        "that the readout reads; with zero bias the network then equals VeLPIC. Class means are fitted alike.",
    ]
    if (table["head"] == "new").any():
        text.append("New readout: such axes, zero bias, put on that layer, the layers behind it left out.")
    edited = table[table["head"] == "replaced"]
    if (edited["bias"] == "zero").groupby([edited[name] for name in PAIR]).all().any():
        text.append("A readout that has no bias keeps none.")
    text += [*panels.seeds(table), "Dotted: the network."]
    if chance:
        text.append("Grey line: chance.")
    return [*text, *panels.epochs(table)]


def _continued(results: Results) -> tuple[Figure, pd.DataFrame]:
    table = _edit_table(results)
    starts = sorted(table["edit_epoch"].dropna().unique())
    looks = {start: style.series_style(turn) for turn, start in enumerate(starts)}
    rows = []
    for (dataset, model, noise), block in table.groupby(PAIR, sort=False):
        layers = block["layer"][block["rows"] == "axis"].unique()
        for layer in layers:
            # The control, whose readout is the network's own, stands beside the edits of every layer.
            shown = block[(block["layer"] == layer) | (block["rows"] != "axis")]
            names = [dataset, model, f"{noise} noise", *([f"readout on {layer}"] if len(layers) > 1 else [])]
            test, train = (shown[shown["split"] == split] for split in ("test", "train"))
            chance = results.chance.get(dataset)
            rows.append(Row(names, "test accuracy (%)", _continuations(test, looks, True), reference=chance))
            rows.append(Row(names, "training accuracy (%)", _continuations(train, looks, False)))
    kinds = [kind for kind in _CONTINUED if (table[["rows", "bias"]] == list(kind)).all(axis=1).any()]
    below = [
        Curve(table, panels.NETWORK, "network as trained"),
        *(Curve(table, {**looks[start], "linestyle": "-"}, f"training on from epoch {start}") for start in starts),
        *(Curve(table, {"color": "0.35", "linestyle": _CONTINUED[kind][1]}, _CONTINUED[kind][0]) for kind in kinds),
    ]
    return panels.draw(rows, _edit_footer(table, bool(results.chance)), below=below), table


def _continuations(shown: pd.DataFrame, looks: dict[int, dict], ringed: bool) -> list[Curve]:
    curves = [Curve(shown[shown["series"] == "model"], panels.NETWORK, stops={})]
    for start, look in looks.items():
        for (rows, bias), (_, line) in _CONTINUED.items():
            chosen = (shown["edit_epoch"] == start) & (shown["rows"] == rows) & (shown["bias"] == bias)
            if rows == "none":
                curves.append(Curve(shown[chosen], {"color": look["color"], "linestyle": line}))
            else:
                curves.append(Curve(shown[chosen], {**look, "linestyle": line}, begins=ringed, marks=2))
    return curves


def _edit_table(results: Results) -> pd.DataFrame:
    edit, history = results.edit, results.history
    if edit.empty:
        raise ValueError(
            "the edit table holds no training that went on after an edit: no run reached the epochs of the "
            "configuration key 'interventions: edit: epochs'; name earlier ones"
        )
    parts = []
    for split, labels, mode in (("test", "true", "evaluated"), ("train", "given", "running")):
        rows = averages.accuracies(edit, split=split, labels=labels, mode=mode)
        key = [*GRID_POINT, "layer", "edit_epoch", "rows", "bias"]
        series = rows["rows"].map({"none": "control"}).fillna("edit")
        edited = averages.over_epochs(rows.assign(series=series), [*key, "series"]).assign(fit_labels="given")
        own = averages.networks(history, rows, split=split, labels=labels, mode=mode)
        parts += [part.assign(split=split, labels=labels, mode=mode, metric="accuracy") for part in (edited, own)]
    parts = [part.astype({"edit_epoch": "Int64"}) if "edit_epoch" in part else part for part in parts]
    return averages.tidy(parts, edit, ["mode", "edit_epoch", "rows", "bias"])


def _edit_footer(table: pd.DataFrame, chance: bool) -> list[str]:
    text = [
        "Networks whose readout is replaced in mid-training (rings) by the axes of VeLPIC, fitted with the given "
        "(noisy) labels of the training examples, and then trained on with a fresh optimiser state; control: nothing "
        "is replaced.",
        "Test accuracy: in % of test examples (true labels) after each epoch. Training accuracy: in % of training "
        "examples, given (noisy) labels, counted while each epoch trained on them.",
        *panels.seeds(table),
    ]
    if table["n"].nunique() > 1:
        text.append("A run that stopped before an edit has no part in it.")
    text.append("Dotted: the network as it was trained.")
    if chance:
        text.append("Grey line: chance.")
    return [*text, *panels.epochs(table)]
