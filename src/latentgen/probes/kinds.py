"""Kinds of probe that a configuration may name, and their settings. Imports nothing that computes."""

from collections.abc import Iterable, Mapping
from typing import Any

from latentgen.spelling import allowed

#: Kind → (family whose members share one pass over the data, settings with their defaults).
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "masc": ("moments", {"variance": 0.99, "n_axes": None}),
    "velpic": ("moments", {}),
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
}


def errors(probe: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with one probe's settings: texts that start at the key, such as ``.variance: …``."""
    kind = probe["kind"]
    if kind not in KINDS:
        yield f".kind: unknown probe {kind!r}; {allowed(kind, KINDS)}"
        return
    _, defaults = KINDS[kind]
    for key in probe:
        if key not in ("kind", "family", *defaults):
            yield f".{key}: unknown key for kind {kind!r}; {allowed(key, ['kind', 'family', *defaults])}"
    settings = defaults | {key: probe[key] for key in probe if key in defaults}
    if kind == "masc":
        yield from _masc(settings)
    elif kind == "logistic":
        yield from _logistic(settings)


def complete(probe: Mapping[str, Any]) -> dict[str, Any]:
    """The probe with defaults filled in, its family included."""
    family, defaults = KINDS[probe["kind"]]
    return {"family": family, **defaults, **probe}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _masc(settings: Mapping[str, Any]) -> Iterable[str]:
    variance, n_axes = settings["variance"], settings["n_axes"]
    if not _number(variance) or not 0 < variance <= 1:
        yield f".variance: {variance!r} is no fraction of variance; allowed: above 0, up to 1"
    if n_axes is not None and (not isinstance(n_axes, int) or n_axes < 1):
        yield f".n_axes: {n_axes!r} is no number of axes; allowed: 1 and more, or null"


def _logistic(settings: Mapping[str, Any]) -> Iterable[str]:
    for key in ("epochs", "batch_size"):
        if not isinstance(settings[key], int) or settings[key] < 1:
            yield f".{key}: {settings[key]!r}; allowed: whole numbers from 1"
    if not isinstance(settings["random_state"], int) or settings["random_state"] < 0:
        yield f".random_state: {settings['random_state']!r}; allowed: whole numbers from 0"
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
