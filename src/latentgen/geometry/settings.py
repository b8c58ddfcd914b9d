"""Settings of the geometry of an entry's runs. Imports nothing that computes."""

from collections.abc import Iterable, Mapping
from typing import Any

#: What stands for the last epoch that a run reaches, and for the layer that feeds the readout.
LAST = "last"

DEFAULTS: dict[str, Any] = {
    "points": 50,
    "directions": 300,
    "kappa": 0.0,
    "restarts": 10,
    "features": 5000,
    "layers": "all",
    "simulated": None,
}

SIMULATED: dict[str, Any] = {"epochs": [LAST], "layers": LAST, "dichotomies": 100}


def complete(geometry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Geometry of an entry with defaults filled in; None where there is none."""
    if geometry is None:
        return None
    settings = DEFAULTS | dict(geometry)
    if settings["simulated"] is not None:
        settings["simulated"] = SIMULATED | dict(settings["simulated"])
    return settings


def errors(entry: Mapping[str, Any], kept: set[int]) -> Iterable[str]:
    """What is wrong with the geometry of a grid entry whose types a schema has checked: texts from the key on.

    ``kept`` : epochs whose weights are kept
    """
    settings = complete(entry["geometry"])
    for epoch in settings["simulated"]["epochs"] if settings and settings["simulated"] else ():
        if epoch != LAST and epoch not in kept:
            yield f".simulated.epochs: {epoch} is no saved epoch; add it to saved_epochs, or say {LAST!r}"
