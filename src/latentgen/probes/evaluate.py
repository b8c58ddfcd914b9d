"""Fitting and scoring of a family of probes on the layers of one checkpoint.

Fitted on the training split under its given labels. Scored on the test set under its true labels and, where a part of
the noisy training set is held out, on that part under its given and its true labels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from latentgen.labels import RunLabels
from latentgen.probes import MASC, ClassMoments, LogisticProbe, VeLPIC

ESTIMATORS = {"masc": MASC, "velpic": VeLPIC, "logistic": LogisticProbe}


@dataclass(frozen=True)
class Scoring:
    """A split to score on: rows of the source's train or test part, and (n,) targets by kind of label."""

    split: str
    part: str
    rows: np.ndarray
    targets: Mapping[str, np.ndarray]


def scorings(labels: RunLabels, test_labels: np.ndarray) -> list[Scoring]:
    """What a run's probes are scored on."""
    found = [Scoring("test", "test", np.arange(len(test_labels)), {"true": np.asarray(test_labels)})]
    if len(labels.validation):
        targets = {kind: getattr(labels, kind)[labels.validation] for kind in ("given", "true")}
        found.append(Scoring("validation", "train", labels.validation, targets))
    return found


def make(settings: Mapping[str, Any]):
    """Unfitted estimator of a probe's settings (``kind`` and its parameters)."""
    return ESTIMATORS[settings["kind"]](**{key: value for key, value in settings.items() if key != "kind"})


def evaluate(
    source,
    layers: Iterable[str],
    probes: Mapping[str, Mapping[str, Any]],
    labels: RunLabels,
    test_labels: np.ndarray,
    n_classes: int,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Rows of `latentgen.tables.PROBES` without the columns of run, epoch and inputs.

    Parameters
    ----------
    source : `latentgen.activations.Stream` or `latentgen.activations.Dump` of one checkpoint
    probes : settings by name; all that need only second moments share one pass over the training set
    """
    layers = list(layers)
    fitted = _fit(source, layers, probes, labels, np.arange(n_classes), device)
    return [row for scoring in scorings(labels, test_labels) for row in _score(source, layers, fitted, scoring)]


def _fit(source, layers, probes, labels: RunLabels, classes, device) -> dict[str, dict[str, Any]]:
    """Fitted estimators by layer and name."""
    fitted = {layer: {name: make(settings) for name, settings in probes.items()} for layer in layers}
    from_moments = [name for name, settings in probes.items() if hasattr(make(settings), "fit_moments")]
    others = [name for name in probes if name not in from_moments]
    given = torch.from_numpy(labels.given).to(device)
    training = torch.zeros(len(given), dtype=torch.bool, device=device)
    training[torch.from_numpy(labels.train).to(device)] = True
    if from_moments:
        moments: dict[str, ClassMoments] = {}
        for rows, parts in source.chunks("train", layers):
            for layer, part in parts.items():
                if layer not in moments:
                    moments[layer] = ClassMoments(part.shape[1], classes, device=device)
                moments[layer].update(part[training[rows]], given[rows][training[rows]])
        for layer in layers:
            for name in from_moments:
                fitted[layer][name].fit_moments(moments[layer])
            del moments[layer]
    for layer in layers if others else ():
        # These need several passes over the rows, so one layer at a time is kept in memory.
        parts = [part[layer][training[rows]] for rows, part in source.chunks("train", [layer])]
        features = torch.cat(parts)
        for name in others:
            fitted[layer][name].fit(features, given[training])
    return fitted


def _score(source, layers, fitted, scoring: Scoring) -> list[dict[str, Any]]:
    right: dict[tuple, list[np.ndarray]] = {}
    margins: dict[tuple, list[np.ndarray]] = {}
    for rows, parts in source.chunks(scoring.part, layers):
        first, last = np.searchsorted(scoring.rows, [rows.start, rows.stop])
        wanted = torch.from_numpy(scoring.rows[first:last] - rows.start)
        for layer, part in parts.items():
            chosen = part[wanted.to(part.device)]
            for name, estimator in fitted[layer].items() if len(wanted) else ():
                decision = estimator.decision_function(chosen).cpu().numpy()
                for kind, targets in scoring.targets.items():
                    correct, margin = _correct_and_margin(decision, estimator.classes_, targets[first:last])
                    right.setdefault((layer, name, kind), []).append(correct)
                    margins.setdefault((layer, name, kind), []).append(margin)
    depth = {layer: index for index, layer in enumerate(source.layers)}
    rows = []
    for (layer, name, kind), parts in right.items():
        correct, margin = np.concatenate(parts), np.concatenate(margins[layer, name, kind])
        ranks = getattr(fitted[layer][name], "ranks_", None)
        rows.append(
            {
                "layer": layer,
                "depth": depth[layer],
                "probe": name,
                "fit_labels": "given",
                "split": scoring.split,
                "labels": kind,
                "metric": "accuracy",
                "value": float(correct.mean()),
                "n": len(correct),
                "rank": None if ranks is None else float(np.mean(ranks)),
                "margin": float(margin.mean()) if np.isfinite(margin).all() else None,
            }
        )
    return rows


def _correct_and_margin(decision: np.ndarray, classes: np.ndarray, targets: np.ndarray):
    """Whether each example's best score is its target's, and by how much (a class never seen has margin -inf)."""
    if decision.ndim == 1:  # two classes: scikit-learn's single column is the second score minus the first
        decision = np.stack([np.zeros_like(decision), decision], axis=1)
    column = np.searchsorted(classes, targets).clip(max=len(classes) - 1)
    seen = classes[column] == targets
    each = np.arange(len(targets))
    own = decision[each, column]
    others = decision.copy()
    others[each, column] = -np.inf
    with np.errstate(invalid="ignore"):
        margin = np.where(seen, own - others.max(axis=1), -np.inf)
    return seen & (decision.argmax(axis=1) == column), margin
