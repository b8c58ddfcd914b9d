"""Synthetic tables, shaped like those of a real grid."""

from itertools import product

import numpy as np
import pandas as pd

from latentgen import tables
from latentgen.analyses import TABLES
from latentgen.numbers.results import Results

LAYERS = {
    "mlp": ["input", "fc1", "fc2", "fc3", "fc4"],
    "cnn": ["input", "flat", "fc1", "fc2"],
    "resnet18": ["stem", "layer1", "layer2", "layer3", "layer4", "avgpool"],
    "vgg16": [
        *["input", "conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1", "conv3_2", "conv3_3"],
        *["pool3", "conv4_1", "conv4_2", "conv4_3", "pool4", "conv5_1", "conv5_2", "conv5_3", "pool5"],
    ],
}
SCHEDULE = (0, 1, 2, 4, 6, 8, 10, 15, 20, 30, 40, 60, 80)
LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

_PLAIN = {"fit_labels": "given", "score": ["test"], "batch_norm": "running"}
_MASC = {"kind": "masc", "family": "moments", "variance": 0.99, "n_axes": None, **_PLAIN}

#: Settings of the probes, by name.
SETTINGS = {
    "masc": _MASC,
    "velpic": {"kind": "velpic", "family": "moments", **_PLAIN},
    "logistic": {"kind": "logistic", "family": "logistic", **_PLAIN},
    "masc-one": {**_MASC, "n_axes": 1},
    "masc-0.25": {**_MASC, "variance": 0.25},
    "masc-0.5": {**_MASC, "variance": 0.5},
    "masc-0.75": {**_MASC, "variance": 0.75},
    "masc-true": {**_MASC, "fit_labels": "true"},
    "masc-example": {**_MASC, "batch_norm": "example"},
    "nearest-mean": {"kind": "nearest_mean", "family": "moments", **_PLAIN},
    "knn": {"kind": "knn", "family": "neighbours", "n_neighbors": 5, **_PLAIN},
}

#: How much of what it knew each probe keeps at the end, at level 1, and its mean number of axes.
_KEPT = {
    **{"masc": 0.9, "velpic": 0.86, "logistic": 0.6, "masc-one": 0.84, "masc-0.25": 0.85, "masc-0.5": 0.88},
    **{"masc-0.75": 0.89, "masc-true": 1.0, "masc-example": 0.9, "nearest-mean": 0.82, "knn": 0.7},
}
_RANK = {"masc-one": 1.0, "masc-0.25": 1.4, "masc-0.5": 2.5, "masc-0.75": 7.0, "velpic": 1.0}

#: Columns of the table of weight transfer: rows, norm, mix, bias; with how much of the way from the network's accuracy
#: to that of the axes each goes.
_REPLACING = {
    ("none", "own", 0.0, "kept"): 0.0,
    ("axis", "unit", 1.0, "zero"): 1.0,
    ("axis", "unit", 1.0, "kept"): 0.98,
    ("axis", "original", 1.0, "zero"): 0.94,
    ("axis", "original", 1.0, "kept"): 0.9,
    ("axis", "original", 0.5, "zero"): 0.6,
    ("axis", "original", 0.5, "kept"): 0.5,
    ("mean", "own", 1.0, "zero"): 0.8,
}

#: Columns that tell runs apart.
SEEDED = [name for name in tables.RUN.names if name != "entry"]


def results(
    pairs=(("digits", "mlp"), ("digits", "cnn")),
    *,
    probes=tuple(SETTINGS),
    new_heads=True,
    readout_bias=True,
    edit_epochs=(1, 10, 40),
    edit_layers=(),
    **options,
):
    """Everything that figures are drawn from; ``options`` go to `grid`.

    ``new_heads`` : whether transfer also puts a new readout on inner layers; ``readout_bias`` : whether the readouts
    have a bias; ``edit_layers`` : layers that get a new readout in mid-training, besides the last
    """
    table, history = grid(pairs, probes=probes, **options)
    biases = ("kept", "zero") if readout_bias else ("zero",)
    return Results.of(
        {
            "probes": table,
            "history": history,
            "transfer": transfer(table, history, new_heads, biases),
            "edit": edit(table, history, edit_epochs, biases, edit_layers),
            "relabel": relabel(history),
        },
        settings={name: SETTINGS[name] for name in probes},
        models={
            model: {"factory": model.split("-")[0], "options": {"dropout": 0.2} if "dropout" in model else {}}
            for _, model in pairs
        },
        chance={dataset: 0.1 for dataset, _ in pairs},
    )


def grid(
    pairs=(("digits", "mlp"), ("digits", "cnn")),
    *,
    noises=("uniform",),
    levels=LEVELS,
    data_seeds=range(5),
    model_seeds=(0,),
    schedule=SCHEDULE,
    probes=("masc", "velpic", "logistic"),
    early=True,
    validation=False,
    seed=0,
):
    """(probes, history): the model peaks and falls as it memorises, its layers less; some runs stop early."""
    rng = np.random.default_rng(seed)
    probe_rows, history_rows = [], []
    for (dataset, model), noise, level, d, m in product(pairs, noises, levels, data_seeds, model_seeds):
        run = {
            **{"dataset": dataset, "model": model, "noise": noise, "level": level},
            **{"data_seed": d, "model_seed": m, "entry": f"{model}{level}"},
        }
        last = schedule[-1]
        stop = int(rng.integers(2 * last // 5, last)) if early and rng.random() < 0.5 else last
        offset = rng.normal(0, 0.012)
        saved = sorted({e for e in schedule if e <= stop} | {stop})
        slow = 15 if "dropout" in model else 0
        for epoch in range(stop + 1):
            noisy = rng.normal(0, 0.006)
            truth = _model(epoch, level, slow) + offset + noisy
            given, true = _train(epoch, level, slow)
            history_rows.append((run, epoch, "test", "true", "evaluated", truth))
            for labels, value in (("given", given - abs(offset)), ("true", true - abs(offset))):
                if epoch:
                    history_rows.append((run, epoch, "train", labels, "running", value - 0.03))
                if epoch in saved:
                    history_rows.append((run, epoch, "train", labels, "evaluated", value))
            if validation:
                given = truth * (1 - 0.9 * level) + noisy
                history_rows.append((run, epoch, "validation", "given", "evaluated", given))
        layers = layers_of(model)
        for epoch, (depth, layer), probe in product(saved, enumerate(layers), probes):
            value = _probe(epoch, level, depth / (len(layers) - 1), probe, slow)
            value = float(np.clip(value + offset + rng.normal(0, 0.012), 0.02, 1))
            if probe == "masc-example" and "masc" in probes:
                value = next(row[-1] for row in reversed(probe_rows) if row[4] == "masc" and row[-3] == "test")
                # Only networks with batch normalisation have two modes.
                value -= 0.1 * depth / len(layers) + rng.normal(0, 0.01) if model == "resnet18" else 0.0
            probe_rows.append((run, epoch, depth, layer, probe, "test", "true", value))
            if validation:
                given = value * (1 - 0.9 * level) + rng.normal(0, 0.02)
                probe_rows.append((run, epoch, depth, layer, probe, "validation", "given", given))
    history = _history(history_rows)
    table = pd.DataFrame(
        {
            **run,
            **{"epoch": epoch, "layer": layer, "depth": depth, "probe": probe},
            **{key: SETTINGS[probe][key] for key in ("batch_norm", "fit_labels")},
            **{"split": split, "labels": labels, "metric": "accuracy", "value": value, "n": 450},
            **{"rank": _RANK.get(probe, 3.0), "margin": 0.1, "inputs": ""},
        }
        for run, epoch, depth, layer, probe, split, labels, value in probe_rows
    )
    return table, history


def layers_of(model):
    """Layers of a model, or of a variant such as mlp-dropout."""
    return LAYERS[model.split("-")[0]]


def transfer(probes, history, new_heads, biases):
    """Table transfer of the runs and epochs of ``probes``: edits bring the network's accuracies near VeLPIC's."""
    velpic = probes[(probes["probe"] == "velpic") & (probes["split"] == "test")]
    own = history[(history["mode"] == "evaluated") & (history["metric"] == "accuracy")]
    own = own.set_index([*SEEDED, "epoch", "split", "labels"])["value"].to_dict()
    rows = []
    for row in velpic.to_dict("records"):
        last = row["layer"] == layers_of(row["model"])[-1]
        if not (last or new_heads):
            continue
        variants = {("axis", "unit", 1.0, "zero"): 1.0, ("mean", "own", 1.0, "zero"): 0.95}
        if last:
            variants = {v: part for v, part in _REPLACING.items() if v[0] == "none" or v[3] in biases}
        run = {name: row[name] for name in tables.RUN.names}
        for split, labels in (("test", "true"), ("train", "given"), ("train", "true")):
            before = own[tuple(row[name] for name in [*SEEDED, "epoch"]) + (split, labels)]
            after = row["value"] * (1 - 0.9 * row["level"]) if labels == "given" else row["value"]
            for (kind, norm, mix, bias), part in variants.items():
                value = part * after + (1 - part) * before if last else part * after
                rows.append(
                    {
                        **run,
                        **{name: row[name] for name in ("epoch", "layer", "depth")},
                        **{"head": "replaced" if last else "new", "rows": kind, "norm": norm, "mix": mix, "bias": bias},
                        **{"split": split, "labels": labels, "metric": "accuracy", "value": value, "n": 450},
                        "inputs": "",
                    }
                )
    return pd.DataFrame(rows)


def edit(probes, history, edit_epochs, biases, inner):
    """Table edit of the runs that reached ``edit_epochs``: the edit holds memorisation up, a fresh optimiser hardly."""
    runs = history[history["split"] == "test"].groupby([*SEEDED, "entry"], as_index=False, sort=False)["epoch"].max()
    until = int(probes["epoch"].max())
    rows = []
    for found in runs.to_dict("records"):
        stop, last = found.pop("epoch"), layers_of(found["model"])[-1]
        edits = {(last, "none", "kept"): 2.0, **{(last, "axis", bias): 12.0 for bias in biases}}
        edits |= {(layer, "axis", "zero"): 8.0 for layer in inner}
        for start, ((layer, kind, bias), slow) in product(edit_epochs, edits.items()):
            if start > min(stop, until - 1):
                continue
            run = {**found, "edit_epoch": start, "layer": layer, "rows": kind, "bias": bias}
            for epoch in range(start, until + 1):
                jump = 0.0 if kind == "none" else 0.08 * np.exp(-(epoch - start) / 5)
                spread = 0.01 * (found["data_seed"] % 5 - 2) - 0.005 * (bias == "zero")
                rows.append(
                    (run, epoch, "test", "true", "evaluated", _model(epoch, found["level"], slow) + jump + spread)
                )
                for labels, value in zip(("given", "true"), _train(epoch, found["level"], slow), strict=True):
                    if epoch > start:
                        rows.append((run, epoch, "train", labels, "running", value - 0.03 + spread))
                    if epoch in (start, until):
                        rows.append((run, epoch, "train", labels, "evaluated", value))
    return _history(rows)[TABLES["edit"].schema.names]


def relabel(history):
    """Table relabel: as the run itself, but with a fifth of its corruption."""
    ends = history[history["split"] == "test"].groupby([*SEEDED, "entry"], as_index=False, sort=False)["epoch"].max()
    rows = []
    for found in ends.to_dict("records"):
        stop, level = found.pop("epoch"), found["level"]
        run = {**found, "from_epoch": stop, "probe": "masc", "layer": layers_of(found["model"])[-1]}
        for epoch in range(stop + 1):
            value = _model(epoch, level / 5) + 0.01 * (found["data_seed"] % 5 - 2)
            rows.append((run, epoch, "test", "true", "evaluated", value))
        for labels, value in (("true", 1 - level / 5), ("given", 1 - level)):
            rows.append((run, 0, "train", labels, "relabelling", value))
    table = _history(rows)
    table.loc[table["mode"] == "relabelling", "metric"] = "label_accuracy"
    return table[TABLES["relabel"].schema.names]


def geometry_results(pairs=(("digits", "mlp"),), *, points=20, classes=10, simulated=("fc4", "output"), **options):
    """Tables probes, history and geometry of one grid; ``options`` go to `grid`, the others to `geometry`."""
    options = {"probes": ("masc", "velpic"), "levels": (0.0, 0.6)} | options
    probes, history = grid(pairs, **options)
    return Results.of(
        {"probes": probes, "history": history, "geometry": geometry(probes, points, classes, simulated)},
        settings={name: SETTINGS[name] for name in options["probes"]},
        models={model: {"factory": model.split("-")[0], "options": {}} for _, model in pairs},
        chance={dataset: 1 / classes for dataset, _ in pairs},
    )


def geometry(probes, points=20, classes=10, simulated=("output",)):
    """Table geometry of the runs and epochs of ``probes``: memorised classes gain capacity in the deepest layers.

    ``simulated`` : layers whose capacity is also measured, at the last epoch of each run
    """
    rng = np.random.default_rng(3)
    keys = [*tables.RUN.names, "epoch"]
    checkpoints = probes[keys].drop_duplicates()
    last = checkpoints.groupby(SEEDED)["epoch"].max().to_dict()
    rows = []
    for checkpoint in checkpoints.to_dict("records"):
        layers = [*layers_of(checkpoint["model"]), "output"]
        at_end = last[tuple(checkpoint[name] for name in SEEDED)] == checkpoint["epoch"]
        for (depth, layer), view in product(enumerate(layers), ("unpermuted", "permuted", "restored", "test")):
            empty = checkpoint["level"] == 0 and view in ("permuted", "restored")
            values = _manifolds(view, checkpoint["epoch"], depth / (len(layers) - 1), 2 / points)
            noise = np.exp(rng.normal(0, 0.03))
            values = {metric: (value * noise, 0.012, 0.004) for metric, value in values.items()}
            capacity = values["capacity"][0]
            values["center_axes"] = (2.0, None, None)
            if at_end and layer in simulated:
                values["simulated_capacity"] = (capacity * np.exp(rng.normal(0.05, 0.04)), 0.02, None)
                values["simulated_capacity_raw"] = (0.8 * capacity * np.exp(rng.normal(0, 0.04)), 0.02, None)
            for metric, (value, error, spread) in values.items():
                theory = metric in ("capacity", "radius", "dimension", "center_correlation", "center_axes")
                error = error if "capacity" in metric else None
                spread = spread if metric in ("capacity", "radius", "dimension") else None
                rows.append(
                    {
                        **checkpoint,
                        **{"layer": layer, "depth": depth, "view": view, "kappa": 0.0 if theory else None},
                        **{"metric": metric, "value": None if empty else value},
                        "error": None if empty or error is None else error * value,
                        "spread": None if empty or spread is None else spread * value,
                        **{"n": 0 if empty else classes * points, "classes": classes, "points": 0 if empty else points},
                        **{"unstructured": None if empty else 2 / points, "inputs": ""},
                    }
                )
    table = pd.DataFrame(rows)[TABLES["geometry"].schema.names]
    return table.astype({name: float for name in ("kappa", "value", "error", "spread", "unstructured")})


def _manifolds(view, epoch, depth, unstructured):
    """Mean-field metrics at a relative depth."""
    memorised = 1 / (1 + np.exp(-(epoch - 25) / 5))
    learned = 1 - np.exp(-epoch / 2)
    late = max(0.0, (depth - 0.6) / 0.4)
    grown = {
        "unpermuted": depth * learned * (1.2 + 0.4 * memorised),
        "permuted": 1.3 * late * memorised,
        "restored": depth * learned * (0.7 - 0.6 * late * memorised),
        "test": depth * learned * (0.8 - 0.4 * late * memorised),
    }[view]
    return {
        "capacity": unstructured * (1.05 + grown),
        "radius": 1.7 / (1 + 0.5 * grown),
        "dimension": 18.0 / (1 + 0.8 * grown),
        "center_correlation": 0.25 - 0.1 * depth * learned,
    }


def _history(rows):
    return pd.DataFrame(
        {
            **run,
            **{"epoch": epoch, "split": split, "labels": labels, "mode": mode},
            **{"metric": "accuracy", "value": float(np.clip(value, 0.02, 1)), "n": 450},
        }
        for run, epoch, split, labels, mode, value in rows
    )


def _train(epoch, level, slow=0.0):
    """Accuracies on the training split, of given and of true labels."""
    wrong = 0.9 * level
    memorised = 1 / (1 + np.exp(-(epoch - 25 - slow) / 5))
    learned = 0.1 + 0.87 * (1 - np.exp(-epoch / 2))
    given = learned * (1 - wrong) + memorised * (1 - learned * (1 - wrong))
    return given, learned * (1 - memorised) + memorised * (1 - wrong)


def _model(epoch, level, slow=0.0):
    learned = 0.1 + 0.87 * (1 - 0.9 * level**6) * (1 - np.exp(-epoch / 2))
    memorised = 1 / (1 + np.exp(-(epoch - 25 - slow) / 5))
    return learned * (1 - memorised) + memorised * (0.1 + 0.87 * (1 - level) ** 1.1)


def _probe(epoch, level, depth, probe, slow=0.0):
    if level == 1:
        return 0.1 + (0.02 if probe == "velpic" else 0)
    start = 0.88 - 0.18 * depth - 0.3 * level**4
    learned = 0.96 - 0.1 * level**4
    final = learned * (1 - level * (1 - _KEPT[probe]) * (0.4 + depth))
    grown = start + (learned - start) * min(1, 4 * depth) * (1 - np.exp(-epoch / 3))
    memorised = min(1, 4 * depth) / (1 + np.exp(-(epoch - 30 - slow) / 7))
    return grown * (1 - memorised) + memorised * final
