"""Label noise: which examples are selected, and which label each of them is given."""

from typing import NamedTuple

import numpy as np

from latentgen import seeds

#: Raised by hand when a change alters the labels that some (kind, level, seed) gives.
VERSION = 1

#: Every kind that `corrupt` knows.
KINDS = ("uniform", "exclude_true", "ketha2026")


class Corruption(NamedTuple):
    """Result of `corrupt`: ``given`` (n,) int64 labels and ``selected`` (n,) bool, both in the order of the input."""

    given: np.ndarray
    selected: np.ndarray


def corrupt(
    labels: np.ndarray, level: float, kind: str = "uniform", n_classes: int | None = None, seed: int = 0
) -> Corruption:
    """Give each example a new label with probability ``level``.

    Parameters
    ----------
    labels : (n,) integers in [0, n_classes)
    level : probability in [0, 1] that an example is selected
    kind :
        ``"uniform"``: a selected example gets a label drawn from all classes, its own allowed, so that at level p a
        fraction p (C - 1) / C of the labels is wrong. ``"exclude_true"``: from the other classes, so that a fraction
        p is wrong. Both draw one uniform number and one replacement label per example whatever the level, so a level
        only thresholds: for one seed, selections and given labels nest across levels, and both kinds select the
        same examples. ``"ketha2026"``: the draw behind the published results of Ketha & Ramaswamy (TMLR 2026, from
        their public code: a ``RandomState(seed)``, theirs with seed 42), uniform over all classes; its selections
        nest, its labels do not.
    n_classes : number of classes C; the largest label + 1 when None
    seed : data seed

    Raises
    ------
    ValueError
        On an unknown kind, a level outside [0, 1], labels outside [0, C), or ``exclude_true`` with one class.
    """
    labels = np.asarray(labels, dtype=np.int64)
    if labels.ndim != 1:
        raise ValueError(f"labels must have one dimension, got shape {labels.shape}")
    if not 0 <= level <= 1:
        raise ValueError(f"level must lie in [0, 1], got {level}")
    n_classes = int(labels.max(initial=0)) + 1 if n_classes is None else int(n_classes)
    if labels.size and not (labels.min() >= 0 and labels.max() < n_classes):
        raise ValueError(f"labels must lie in [0, {n_classes}), got {labels.min()} to {labels.max()}")
    n = len(labels)
    if kind == "ketha2026":
        legacy = np.random.RandomState(seed)
        selected = legacy.rand(n) <= level
        given = labels.copy()
        given[selected] = legacy.choice(n_classes, selected.sum())
        return Corruption(given, selected)
    selected = np.random.default_rng(seeds.derive("noise selection", seed)).random(n) < level
    rng = np.random.default_rng(seeds.derive("noise labels", kind, seed))
    if kind == "uniform":
        replacement = rng.integers(0, n_classes, n)
    elif kind == "exclude_true":
        if n_classes < 2:
            raise ValueError("noise kind 'exclude_true' needs at least two classes")
        replacement = (labels + rng.integers(1, n_classes, n)) % n_classes
    else:
        raise ValueError(f"unknown noise kind {kind!r}; known: {', '.join(KINDS)}")
    return Corruption(np.where(selected, replacement, labels), selected)


def n_held_out(n: int, fraction: float) -> int:
    """How many of ``n`` examples `hold_out` keeps out of training."""
    return round(fraction * n)


def hold_out(n: int, fraction: float, seed: int) -> np.ndarray:
    """(n,) bool, true for the `n_held_out` examples that validation keeps out of training.

    Drawn by the data seed alone, so that every noise kind and level of one seed holds out the same examples, and
    nested in the fraction.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation fraction must lie in [0, 1), got {fraction}")
    held = np.zeros(n, dtype=bool)
    order = np.random.default_rng(seeds.derive("validation", seed)).permutation(n)
    held[order[: n_held_out(n, fraction)]] = True
    return held
