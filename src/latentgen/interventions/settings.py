"""Interventions that a configuration may name, and their settings. Imports nothing that computes."""

from collections.abc import Iterable, Mapping
from typing import Any

from latentgen.activations import INPUT, LAST
from latentgen.spelling import allowed

#: Intervention → settings with their defaults; None where there is none, or where it stands for no limit.
DEFAULTS: dict[str, dict[str, Any]] = {
    "transfer": {"layers": LAST},
    "edit": {"epochs": None, "until": None, "layers": [LAST], "bias": ["zero"]},
    "relabel": {"probe": "masc", "layer": LAST},
    "rewind": {"batch_norm": ["reestimated"], "redraws": 1, "examples": None},
}

#: Settings that a configuration must give.
REQUIRED = {"edit": ("epochs", "until")}


def complete(interventions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Interventions with defaults filled in."""
    return {name: DEFAULTS[name] | dict(settings) for name, settings in interventions.items()}


def errors(entry: Mapping[str, Any], kept: set[int]) -> Iterable[str]:
    """What is wrong with the interventions of a grid entry whose types a schema has checked: texts from the key on.

    ``kept`` : epochs whose weights are kept
    """
    for name, settings in complete(entry["interventions"]).items():
        missing = [key for key in REQUIRED.get(name, ()) if settings[key] is None]
        if missing:
            yield f".{name}: needs {missing[0]}"
        elif name == "edit":
            yield from _edit(settings, kept)
        elif name == "relabel":
            yield from _relabel(settings, entry)


def _edit(settings: Mapping[str, Any], kept: set[int]) -> Iterable[str]:
    if INPUT in settings["layers"]:
        yield f".edit.layers: {INPUT!r} has nothing before it to train; name a layer of the network, or 'last'"
    for epoch in settings["epochs"]:
        if epoch not in kept:
            yield f".edit.epochs: {epoch} is no saved epoch, so there are no weights to edit; add it to saved_epochs"
        if epoch >= settings["until"]:
            yield f".edit.until: {settings['until']} leaves nothing to train after epoch {epoch}; allowed: above it"


def _relabel(settings: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterable[str]:
    fitted = [name for name, probe in entry["probes"].items() if probe.get("fit_labels", "given") == "given"]
    if settings["probe"] not in fitted:
        yield (
            f".relabel.probe: {settings['probe']!r} is none of this entry's probes that are fitted on given labels; "
            f"{allowed(settings['probe'], fitted)}"
        )
