"""Kinds of probe that a configuration may name, and their settings. Imports nothing that computes."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from latentgen import noise
from latentgen.activations import BATCH_NORM
from latentgen.spelling import allowed

#: Settings of every kind. A probe is fitted on the ``given`` labels of its training examples, their ``true`` ones, or
#: resampled labels at a noise kind and level, such as ``uniform-0.6``; scored on the splits ``score``; reads features
#: whose batch normalisation uses ``running`` statistics or those of each ``example``.
COMMON: dict[str, Any] = {"fit_labels": "given", "score": ["test"], "batch_norm": "running"}

#: Splits that a probe may be scored on, besides a part that is held out, which always counts.
SPLITS = ("test", "train")

#: Kind → (family whose members share one pass over the data, settings with their defaults). Layers with more than
#: max_features are left out, since second moments of wide ones cost most; where None is the default, it is no limit.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "masc": ("moments", {"variance": 0.99, "n_axes": None, "max_features": None}),
    "velpic": ("moments", {"max_features": None}),
    "logistic": (
        "logistic",
        {
            "solver": "adam",
            "l2": 0.0,
            "tol": None,
            "epochs": 20,
            "batch_size": 128,
            "learning_rate": 1e-3,
            "random_state": 0,
        },
    ),
    "nearest_mean": ("moments", {}),
    # Their cost grows as the cube of the width.
    "lda": ("moments", {"shrinkage": 1e-4, "max_features": 4096}),
    "qda": ("moments", {"shrinkage": 0.1, "max_features": 512}),
    "knn": ("neighbours", {"n_neighbors": 5}),
}

#: Most epochs of a fit, and most examples of a batch.
MOST = 10_000_000

#: Settings that are numbers, and those of them that are whole ones.
WHOLE = ("n_axes", "max_features", "epochs", "batch_size", "random_state", "n_neighbors")
NUMBERS = (*WHOLE, "variance", "l2", "tol", "learning_rate", "shrinkage")


def errors(probe: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with one probe's settings: texts that start at the key, such as ``.variance: …``."""
    kind = probe["kind"]
    if kind not in KINDS:
        yield f".kind: unknown probe {kind!r}; {allowed(kind, KINDS)}"
        return
    defaults = COMMON | KINDS[kind][1]
    for key in probe:
        if key not in ("kind", "family", *defaults):
            yield f".{key}: unknown key for kind {kind!r}; {allowed(key, ['kind', 'family', *defaults])}"
    settings = defaults | {key: probe[key] for key in probe if key in defaults}
    yield from _common(settings)
    if "max_features" in settings:
        yield from _width(settings, unlimited=defaults["max_features"] is None)
    if kind == "masc":
        yield from _masc(settings)
    elif kind == "logistic":
        yield from _logistic(settings)
    elif kind in ("lda", "qda"):
        yield from _discriminant(settings)
    elif kind == "knn":
        yield from _neighbours(settings)


def family(probe: Mapping[str, Any]) -> str:
    """Family of a probe; where it names none, that of its kind, if there is such a kind."""
    return probe.get("family") or KINDS.get(probe["kind"], (probe["kind"],))[0]


def complete(probe: Mapping[str, Any]) -> dict[str, Any]:
    """The probe with defaults filled in, its family included."""
    defaults = KINDS[probe["kind"]][1]
    return {"family": family(probe), **COMMON, **defaults, **probe, "fit_labels": _fit_labels(probe)}


def _fit_labels(probe: Mapping[str, Any]) -> str:
    """As text: YAML reads an unquoted ``true`` as a truth value."""
    value = probe.get("fit_labels", COMMON["fit_labels"])
    return "true" if value is True else str(value)


def redrawn(fit_labels: str) -> tuple[str, float] | None:
    """Noise kind and level of ``fit_labels`` such as ``uniform-0.6``; None for ``given`` and ``true``.

    Raises ``ValueError`` for anything else.
    """
    if fit_labels in ("given", "true"):
        return None
    found = re.fullmatch(rf"({'|'.join(noise.KINDS)})-([0-9.]+(?:[eE]-?[0-9]+)?)", fit_labels)
    if found is None or not 0 <= float(found[2]) <= 1:
        raise ValueError(f"no noise kind and level: {fit_labels!r}")
    return found[1], float(found[2])


def _common(settings: Mapping[str, Any]) -> Iterable[str]:
    try:
        redrawn(_fit_labels(settings))
    except ValueError:
        kinds = ", ".join(noise.KINDS)
        yield f".fit_labels: {settings['fit_labels']!r}; allowed: given, true, or KIND-LEVEL with KIND among {kinds}"
    score = settings["score"]
    if not isinstance(score, list) or sorted(map(str, score)) not in (["test"], ["train"], sorted(SPLITS)):
        yield f".score: {score!r} is no list of splits; allowed: {', '.join(SPLITS)}"
    if settings["batch_norm"] not in BATCH_NORM:
        yield f".batch_norm: {settings['batch_norm']!r}; {allowed(settings['batch_norm'], BATCH_NORM)}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _width(settings: Mapping[str, Any], unlimited: bool) -> Iterable[str]:
    widest = settings["max_features"]
    if not _whole(widest) and not (unlimited and widest is None):
        also = ", or null" if unlimited else ""
        yield f".max_features: {widest!r} is no width of a layer; allowed: whole numbers from 1{also}"


def _masc(settings: Mapping[str, Any]) -> Iterable[str]:
    variance, n_axes = settings["variance"], settings["n_axes"]
    if not _number(variance) or not 0 < variance <= 1:
        yield f".variance: {variance!r} is no fraction of variance; allowed: above 0, up to 1"
    if n_axes is not None and not _whole(n_axes):
        yield f".n_axes: {n_axes!r} is no number of axes; allowed: 1 and more, or null"


def _logistic(settings: Mapping[str, Any]) -> Iterable[str]:
    for key in ("epochs", "batch_size"):
        if not _whole(settings[key]) or settings[key] > MOST:
            yield f".{key}: {settings[key]!r}; allowed: whole numbers from 1 to {MOST:,}"
    if not _whole(settings["random_state"], first=0) or settings["random_state"] >= 2**32:
        yield f".random_state: {settings['random_state']!r}; allowed: whole numbers from 0, below 2**32"
    if not _number(settings["learning_rate"]) or settings["learning_rate"] <= 0:
        yield f".learning_rate: {settings['learning_rate']!r}; allowed: above 0"
    solver, l2, tol = settings["solver"], settings["l2"], settings["tol"]
    if solver not in ("adam", "lbfgs"):
        yield f".solver: unknown solver {solver!r}; {allowed(solver, ['adam', 'lbfgs'])}"
    elif solver == "adam" and (l2 or tol is not None):
        yield ".solver: 'adam' is the published recipe and takes no l2 or tol; use solver: lbfgs with both"
    elif solver == "lbfgs" and not (_number(l2) and l2 > 0 and _number(tol) and tol > 0):
        yield (
            f".solver: 'lbfgs' converges only with a penalty and a stated tolerance, got l2={l2!r}, tol={tol!r}; "
            "allowed: both above 0 (separable data have no unpenalised minimiser)"
        )


def _discriminant(settings: Mapping[str, Any]) -> Iterable[str]:
    shrinkage = settings["shrinkage"]
    if not _number(shrinkage) or not 0 < shrinkage <= 1:
        yield f".shrinkage: {shrinkage!r} is no share of the covariance; allowed: above 0, up to 1"


def _neighbours(settings: Mapping[str, Any]) -> Iterable[str]:
    if not _whole(settings["n_neighbors"]):
        yield f".n_neighbors: {settings['n_neighbors']!r}; allowed: whole numbers from 1"


def _whole(value: Any, first: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= first
