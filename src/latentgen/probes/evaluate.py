"""Fitting and scoring of a family of probes on the layers of one checkpoint.

Fitted on the training split, under its given labels unless a probe's settings say otherwise. Scored on the test set
under its true labels, on the training split where settings ask for it, and, where a part of the noisy training set is
held out, on that part under its given and its true labels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from latentgen import noise
from latentgen.labels import RunLabels
from latentgen.probes import KNN, LDA, MASC, QDA, LogisticProbe, NearestMean, VeLPIC, kinds
from latentgen.probes.passes import class_moments, training_features, training_mask

ESTIMATORS = {
    "masc": MASC,
    "velpic": VeLPIC,
    "logistic": LogisticProbe,
    "nearest_mean": NearestMean,
    "lda": LDA,
    "qda": QDA,
    "knn": KNN,
}

#: Settings that say where and on what a probe is used, not how it computes.
_OF_USE = {"kind", "family", "max_features", *kinds.COMMON}


@dataclass(frozen=True)
class Task:
    """What the probes of one run are fitted and scored on; ``test_labels`` : (n,) true labels of the test set."""

    labels: RunLabels
    test_labels: np.ndarray
    n_classes: int
    data_seed: int

    def fit_labels(self, kind: str) -> np.ndarray:
        """(n,) labels of the whole training set to fit on: given, true, or drawn anew as in ``uniform-0.6``."""
        redrawn = kinds.redrawn(kind)
        if redrawn is None:
            return getattr(self.labels, kind)
        return noise.corrupt(self.labels.true, redrawn[1], redrawn[0], self.n_classes, self.data_seed).given


@dataclass(frozen=True)
class Scoring:
    """A split to score on: rows of the source's train or test part, and (n,) targets by kind of label."""

    split: str
    part: str
    rows: np.ndarray
    targets: Mapping[str, np.ndarray]


def scorings(labels: RunLabels, test_labels: np.ndarray) -> list[Scoring]:
    """Every split of a run that something can be scored on."""
    found = [Scoring("test", "test", np.arange(len(test_labels)), {"true": np.asarray(test_labels)})]
    for split, part in (("train", labels.train), ("validation", labels.validation)):
        if len(part):
            targets = {kind: getattr(labels, kind)[part] for kind in ("given", "true")}
            found.append(Scoring(split, "train", part, targets))
    return found


def make(settings: Mapping[str, Any]):
    """Unfitted estimator of a probe's settings (``kind`` and its parameters)."""
    return ESTIMATORS[settings["kind"]](**{key: value for key, value in settings.items() if key not in _OF_USE})


def evaluate(
    source,
    layers: Iterable[str],
    probes: Mapping[str, Mapping[str, Any]],
    task: Task,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Rows of the table of probes without the columns of run, epoch and inputs.

    Parameters
    ----------
    source : `latentgen.activations.Stream` or `latentgen.activations.Dump` of one checkpoint
    probes : complete settings by name; all that need only second moments of features read in one batch-norm mode
        share one pass over the training set
    """
    rows, depth = [], {layer: index for index, layer in enumerate(source.layers)}
    for mode, group, mine in _groups(list(layers), probes):
        fitted = fit(source, group, mine, task, mode, device)
        for scoring in scorings(task.labels, task.test_labels):
            scored = {name for name in mine if scoring.split in ("validation", *mine[name]["score"])}
            chosen = {layer: _only(estimators, scored) for layer, estimators in fitted.items()}
            chosen = {layer: estimators for layer, estimators in chosen.items() if estimators}
            for row in _score(source, chosen, scoring, mine, task, mode) if chosen else ():
                rows.append({"depth": depth[row["layer"]], "batch_norm": mode, **row})
    return rows


def _groups(layers: list[str], probes: Mapping[str, Mapping[str, Any]]):
    """(batch-norm mode, layers, probes) that are fitted, scored and let go of together.

    Those from moments share a pass over all layers. The others need several passes over the rows, and some keep them,
    so they take one layer at a time.
    """
    for mode in sorted({settings["batch_norm"] for settings in probes.values()}, reverse=True):
        mine = {name: settings for name, settings in probes.items() if settings["batch_norm"] == mode}
        shared = _only(mine, {name for name in mine if _from_moments(mine[name])})
        others = {name: settings for name, settings in mine.items() if name not in shared}
        if shared:
            yield mode, layers, shared
        for layer in layers if others else ():
            yield mode, [layer], others


def _from_moments(settings: Mapping[str, Any]) -> bool:
    return hasattr(ESTIMATORS[settings["kind"]], "fit_moments")


def _only(estimators: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: estimator for name, estimator in estimators.items() if name in names}


def fit(source, layers, probes, task: Task, mode: str, device) -> dict[str, dict[str, Any]]:
    """Fitted estimators by layer and name; a probe is left out of layers wider than it is meant for."""
    targets = {
        kind: torch.from_numpy(task.fit_labels(kind)).to(device)
        for kind in sorted({settings["fit_labels"] for settings in probes.values()})
    }
    fitted: dict[str, dict[str, Any]] = {layer: {} for layer in layers}
    from_moments = {name: settings for name, settings in probes.items() if _from_moments(settings)}
    others = {name: settings for name, settings in probes.items() if name not in from_moments}
    if from_moments:
        wanted = {settings["fit_labels"]: targets[settings["fit_labels"]] for settings in from_moments.values()}

        def needs(kind: str, width: int) -> set[str] | None:
            meant = [
                set(make(settings).second)
                for settings in from_moments.values()
                if settings["fit_labels"] == kind and _meant_for(width, settings)
            ]
            return set.union(*meant) if meant else None

        moments = class_moments(source, layers, task.labels, wanted, task.n_classes, needs, mode)
        for layer in layers:
            of_layer = {kind: moments.pop((layer, kind), None) for kind in wanted}
            for name, settings in from_moments.items():
                collected = of_layer[settings["fit_labels"]]
                if collected and _meant_for(collected.n_features, settings):
                    fitted[layer][name] = make(settings).fit_moments(collected)
    for layer in layers if others else ():
        features = training_features(source, layer, task.labels, mode)
        training = training_mask(task.labels, device)
        for name, settings in others.items():
            fitted[layer][name] = make(settings).fit(features, targets[settings["fit_labels"]][training])
    return fitted


def _meant_for(width: int, settings: Mapping[str, Any]) -> bool:
    """Whether a probe is meant for layers of so many features."""
    widest = settings.get("max_features")
    return widest is None or width <= widest


def _score(source, fitted, scoring: Scoring, probes, task: Task, mode: str) -> list[dict[str, Any]]:
    right: dict[tuple, list[np.ndarray]] = {}
    margins: dict[tuple, list[np.ndarray]] = {}
    targets = {name: _targets(probes[name]["fit_labels"], scoring, task) for name in probes}
    for rows, parts in source.chunks(scoring.part, fitted, mode):
        first, last = np.searchsorted(scoring.rows, [rows.start, rows.stop])
        wanted = torch.from_numpy(scoring.rows[first:last] - rows.start)
        for layer, part in parts.items():
            chosen = part[wanted.to(part.device)]
            for name, estimator in fitted[layer].items() if len(wanted) else ():
                decision = estimator.decision_function(chosen).cpu().numpy()
                for kind, target in targets[name].items():
                    correct, margin = _correct_and_margin(decision, estimator.classes_, target[first:last])
                    right.setdefault((layer, name, kind), []).append(correct)
                    margins.setdefault((layer, name, kind), []).append(margin)
    found = []
    for (layer, name, kind), parts in right.items():
        correct, margin = np.concatenate(parts), np.concatenate(margins[layer, name, kind])
        ranks = getattr(fitted[layer][name], "ranks_", None)
        found.append(
            {
                "layer": layer,
                "probe": name,
                "fit_labels": probes[name]["fit_labels"],
                "split": scoring.split,
                "labels": kind,
                "metric": "accuracy",
                "value": float(correct.mean()),
                "n": len(correct),
                "rank": None if ranks is None else float(np.mean(ranks)),
                "margin": float(margin.mean()) if np.isfinite(margin).all() else None,
            }
        )
    return found


def _targets(fit_labels: str, scoring: Scoring, task: Task) -> dict[str, np.ndarray]:
    """What a probe is scored against: on training examples also the resampled labels, if it was fitted on those."""
    if scoring.part == "test" or kinds.redrawn(fit_labels) is None:
        return dict(scoring.targets)
    return {**scoring.targets, "fit": task.fit_labels(fit_labels)[scoring.rows]}


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
