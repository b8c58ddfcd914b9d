"""Synthetic gradients: vectors of a few numbers for each layer, from which every metric follows by its definition."""

from itertools import product

import frames
import numpy as np
import pandas as pd

from latentgen import tables
from latentgen.analyses import TABLES
from latentgen.numbers.results import Results

PARTS = ("total", "label", "independent", "label_centered", "independent_centered")
GROUPS = ("unpermuted", "permuted", "selected", "all")

#: Classes, training examples, and numbers that stand for the weights of a layer.
CLASSES, EXAMPLES, WEIGHTS = 10, 1000, 6


def results(pairs=(("digits", "mlp"),), *, schedule=(0, 1, 4, 10, 30, 60), **options):
    """Tables history and gradients of one grid; ``options`` go to `frames.grid`."""
    options = {"levels": (0.0, 0.5), "data_seeds": range(3)} | options
    probes, history = frames.grid(pairs, schedule=schedule, probes=("masc",), **options)
    return Results.of(
        {"history": history, "gradients": gradients(probes)}, chance={dataset: 1 / CLASSES for dataset, _ in pairs}
    )


def gradients(probes):
    """Table gradients of the runs and epochs of ``probes``."""
    rng = np.random.default_rng(7)
    checkpoints = probes[[*tables.RUN.names, "epoch"]].drop_duplicates()
    rows = []
    for checkpoint in checkpoints.to_dict("records"):
        layers = [*frames.layers_of(checkpoint["model"])[1:], "output"]
        found = [_layer(rng, checkpoint["level"], checkpoint["epoch"], k / len(layers)) for k in range(len(layers))]
        whole = {key: np.concatenate([of_layer[key] for of_layer in found]) for key in found[0]}
        sizes = _sizes(checkpoint["level"])
        for depth, layer, vectors in [*zip(range(1, len(layers) + 1), layers, found, strict=True), (None, None, whole)]:
            for (group, part), metrics in _metrics(vectors, sizes).items():
                for metric, value in metrics.items():
                    rows.append(
                        {
                            **checkpoint,
                            **{"layer": layer or "network", "depth": depth, "parameters": vectors["all", "total"].size},
                            **{"group": group, "part": part, "metric": metric, "value": value, "n": sizes[group]},
                            "inputs": "",
                        }
                    )
    table = pd.DataFrame(rows)[TABLES["gradients"].schema.names]
    return table.astype({"depth": float, "value": float})


def _sizes(level):
    selected = int(level * EXAMPLES)
    permuted = selected * (CLASSES - 1) // CLASSES
    return {"unpermuted": EXAMPLES - permuted, "permuted": permuted, "selected": selected, "all": EXAMPLES}


def _layer(rng, level, epoch, depth):
    """{(group, part): vector}: what is right is learned first, then what is wrong, until both parts cancel."""
    right, wrong, mean = np.eye(WEIGHTS)[:3] * np.exp(rng.normal(0, 0.15, 3))[:, None] * (1 + depth) * 1e-3
    learned, memorised = 1 - np.exp(-epoch), 1 / (1 + np.exp(-(epoch - 25) / 4))
    size = 0.3 + learned + 6 * memorised

    def noise():
        return 2e-5 * rng.normal(size=WEIGHTS)

    label = {
        "unpermuted": -size * right + noise(),
        "permuted": size * (right / (CLASSES - 1) - memorised * (0.7 * right + wrong)) + noise(),
    }
    guess = {
        "unpermuted": size * learned * 0.98 * right + noise(),
        "permuted": size * learned * ((1 - memorised) * right + memorised * 0.97 * (0.6 * right + wrong)) + noise(),
    }
    sizes, found = _sizes(level), {}
    kept = sizes["selected"] - sizes["permuted"]
    for name, part in (("label_centered", label), ("independent_centered", guess)):
        members = {"unpermuted": (1, 0), "permuted": (0, 1)}
        members["selected"] = np.array([kept, sizes["permuted"]]) / max(sizes["selected"], 1)
        members["all"] = np.array([sizes["unpermuted"], sizes["permuted"]]) / EXAMPLES
        for group, (a, b) in members.items():
            found[group, name] = a * part["unpermuted"] + b * part["permuted"]
    for group in GROUPS:
        found[group, "label"] = found[group, "label_centered"] - size * mean
        found[group, "independent"] = found[group, "independent_centered"] + size * mean
        found[group, "total"] = found[group, "label"] + found[group, "independent"]
    return found


def _metrics(vectors, sizes):
    """{(group, part): {metric: value}}, as the table of gradients defines them."""
    direction = vectors["all", "total"] / np.linalg.norm(vectors["all", "total"])
    found = {}
    for group, part in product(GROUPS, PARTS):
        vector = vectors[group, part] if sizes[group] else np.full_like(direction, np.nan)
        norm = float(np.linalg.norm(vector))
        metrics = {"norm": norm, "norm_per_root_parameter": norm / np.sqrt(vector.size)}
        metrics["projection"] = float(vector @ direction)
        if group in ("permuted", "selected"):
            metrics["cosine_with_unpermuted"] = _cosine(vector, vectors["unpermuted", part])
        if part in ("label", "label_centered"):
            metrics["cosine_with_independent"] = _cosine(vector, vectors[group, part.replace("label", "independent")])
        found[group, part] = metrics
    return found


def _cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
