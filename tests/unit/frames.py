"""Synthetic probes and history tables, shaped like a real grid."""

from itertools import product

import numpy as np
import pandas as pd

LAYERS = {
    "mlp": ["input", "fc1", "fc2", "fc3", "fc4"],
    "cnn": ["input", "flat", "fc1", "fc2"],
    "resnet18": ["stem", "layer1", "layer2", "layer3", "layer4", "avgpool"],
}
SCHEDULE = (0, 1, 2, 4, 6, 8, 10, 15, 20, 30, 40, 60, 80)
LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


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
        for epoch in range(stop + 1):
            noisy = rng.normal(0, 0.006)
            truth = _model(epoch, level) + offset + noisy
            history_rows.append((run, epoch, "test", "true", truth))
            history_rows.append((run, epoch, "train", "given", min(1.0, 0.5 + epoch / last)))
            if validation:
                history_rows.append((run, epoch, "validation", "given", truth * (1 - 0.9 * level) + noisy))
        saved = sorted({e for e in schedule if e <= stop} | {stop})
        for epoch, (depth, layer), probe in product(saved, enumerate(LAYERS[model]), probes):
            value = _probe(epoch, level, depth / (len(LAYERS[model]) - 1), probe)
            value = float(np.clip(value + offset + rng.normal(0, 0.012), 0.02, 1))
            probe_rows.append((run, epoch, depth, layer, probe, "test", "true", value))
            if validation:
                given = value * (1 - 0.9 * level) + rng.normal(0, 0.02)
                probe_rows.append((run, epoch, depth, layer, probe, "validation", "given", given))
    history = pd.DataFrame(
        {
            **run,
            **{"epoch": epoch, "split": split, "labels": labels, "mode": "evaluated"},
            **{"metric": "accuracy", "value": float(np.clip(value, 0.02, 1)), "n": 450},
        }
        for run, epoch, split, labels, value in history_rows
    )
    table = pd.DataFrame(
        {
            **run,
            **{"epoch": epoch, "layer": layer, "depth": depth, "probe": probe, "fit_labels": "given"},
            **{"split": split, "labels": labels, "metric": "accuracy", "value": value, "n": 450},
            **{"rank": 3.0, "margin": 0.1},
        }
        for run, epoch, depth, layer, probe, split, labels, value in probe_rows
    )
    return table, history


def _model(epoch, level):
    learned = 0.1 + 0.87 * (1 - 0.9 * level**6) * (1 - np.exp(-epoch / 2))
    memorised = 1 / (1 + np.exp(-(epoch - 25) / 5))
    return learned * (1 - memorised) + memorised * (0.1 + 0.87 * (1 - level) ** 1.1)


def _probe(epoch, level, depth, probe):
    if level == 1:
        return 0.1 + (0.02 if probe == "velpic" else 0)
    start = 0.88 - 0.18 * depth - 0.3 * level**4
    learned = 0.96 - 0.1 * level**4
    kept = {"masc": 0.9, "velpic": 0.86, "logistic": 0.6}[probe]
    final = learned * (1 - level * (1 - kept) * (0.4 + depth))
    grown = start + (learned - start) * min(1, 4 * depth) * (1 - np.exp(-epoch / 3))
    memorised = min(1, 4 * depth) / (1 + np.exp(-(epoch - 30) / 7))
    return grown * (1 - memorised) + memorised * final
