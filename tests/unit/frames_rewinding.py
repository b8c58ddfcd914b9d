"""Synthetic tables of rewinding, shaped like those of a real grid."""

from itertools import product

import frames
import numpy as np
import pandas as pd

from latentgen.analyses import TABLES

#: Layers with weights, by model: those of `frames.LAYERS` but for the input and poolings, and the output.
WEIGHTS = {
    model: [layer for layer in (*layers, "output") if layer not in ("input", "flat") and "pool" not in layer]
    for model, layers in frames.LAYERS.items()
}
NORMALISED = ("resnet18", "vgg16")
KINDS = ("alone", "prefix", "suffix")


def results(pairs=(("digits", "mlp"),), *, batch_norms=("rewound",), rerandomisations=2, **options):
    """Everything that figures 15 and 20 to 22 are drawn from; ``options`` go to `frames.results`."""
    found = frames.results(pairs, **({"probes": ("masc", "velpic"), "levels": (0.6,), "edit_epochs": (1,)} | options))
    return found.replaced(rewind=rewind(found.history, batch_norms, rerandomisations))


def rewind(history, batch_norms=("rewound",), rerandomisations=2, seed=2):
    """Table rewind of the runs of ``history``: the later a layer, the more of what was lost comes back with it.

    All layers at an epoch are the network at that epoch, at the last epoch nothing is put back; where statistics are
    estimated anew, both differ a little from the history.
    """
    rng = np.random.default_rng(seed)
    rows = []
    evaluated = history[history["mode"] == "evaluated"]
    for values, run in evaluated.groupby([*frames.SEEDED, "entry"], sort=False):
        names = dict(zip([*frames.SEEDED, "entry"], values, strict=True))
        own = {key: of["value"].to_dict() for key, of in run.set_index("epoch").groupby(["split", "labels"])}
        saved, offset = sorted(own["train", "given"]), rng.normal(0, 0.005)
        ways = batch_norms if names["model"] in NORMALISED else ("none",)
        curves = {way: _views(own, names["level"], offset) for way in ways}
        for view, curve in curves.get("reestimated", {}).items():
            curves["reestimated"][view] = {epoch: curve[epoch] + rng.normal(0, 0.02) for epoch in saved}
        n = _sizes(names["level"])
        for batch_norm, kind, (place, layer) in product(ways, KINDS, enumerate(WEIGHTS[names["model"]])):
            layers = len(WEIGHTS[names["model"]])
            share = _share(kind, place, layers)
            depth = [*frames.LAYERS[names["model"]], "output"].index(layer) + (names["model"] == "resnet18")
            named = {
                **{"last_epoch": saved[-1], "kind": kind, "layer": layer, "depth": depth},
                **{"parameters": 100 * (place + 1), "batch_norm": batch_norm, "metric": "accuracy", "inputs": ""},
            }
            cells = [(epoch, "saved", None) for epoch in saved] + [
                (0, "redrawn", draw) for draw in range(rerandomisations)
            ]
            for epoch, weights, draw in cells:
                cell = {**names, **named, "epoch": epoch, "weights": weights, "draw": draw}
                mixed = 0 < share < 1 and epoch < saved[-1]
                for view, curve in curves[batch_norm].items():
                    value = (1 - share) * curve[saved[-1]] + share * curve[epoch]
                    if mixed or weights == "redrawn":
                        value += rng.normal(0, 0.01) - 0.02 * (batch_norm == "rewound")
                    value = float(np.clip(value, 0, 1)) if n[view] else None
                    rows.append({**cell, "view": view, "value": value, "n": n[view]})
    table = pd.DataFrame(rows)[TABLES["rewind"].schema.names]
    return table.astype({"value": float, "draw": "Int64"})


def _share(kind, place, layers):
    """How much of the way back to an epoch a set of layers goes, by the square of the depth."""
    reach = ((np.arange(layers) + 1) / layers) ** 2 / sum(((np.arange(layers) + 1) / layers) ** 2)
    within = {"alone": slice(place, place + 1), "prefix": slice(0, place + 1), "suffix": slice(place, None)}[kind]
    return float(reach[within].sum())


def _sizes(level, n=450):
    """Numbers of examples by view, all that the history has."""
    wrong = round(0.9 * level * n)
    return {"test": n, "unpermuted": n - wrong, "permuted": wrong, "restored": wrong, "validation": n}


def _views(own, level, offset):
    """Accuracies over epochs by view, of one run; those of training examples never quite reach 0 or 1."""
    given, true = own["train", "given"], own["train", "true"]
    wrong = max(0.9 * level, 1e-9)
    right = {epoch: min(1.0, true[epoch] + 0.05) for epoch in given}
    trained = {
        "unpermuted": {epoch: max(right[epoch], given[epoch]) for epoch in given},
        "permuted": {epoch: (given[epoch] - right[epoch] * (1 - wrong)) / wrong for epoch in given},
        "restored": {epoch: (true[epoch] - (1 - wrong)) / wrong for epoch in given},
    }
    curves = {
        view: {epoch: 0.05 + 0.9 * min(max(value, 0.0), 1.0) + offset for epoch, value in curve.items()}
        for view, curve in trained.items()
    }
    curves["test"] = own["test", "true"]
    if ("validation", "given") in own:
        curves["validation"] = own["validation", "given"]
    return curves
