"""Versions that the rows of an analysis are known by, and that the params of its rule name: one list for both.

A room's ``VERSION`` stands for all of its methods, the ``VERSIONS`` of some rooms for each method alone. The latter are
named only where they were raised, so that rows of the other methods, and those from before there were such versions,
stay known.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from latentgen import activations, geometry, gradients, interventions, maps, models, noise, probes, training

#: Version of a method that has not been raised.
FIRST = 1


def of_probes(kinds: Iterable[str]) -> list:
    """Of probes of these kinds."""
    return [probes.VERSION, activations.VERSION, models.VERSION, noise.VERSION, *_raised(probes.VERSIONS, kinds)]


def of_geometry(methods: Iterable[str]) -> list:
    """Of the geometry by these methods, see `methods_of_geometry`."""
    return [geometry.VERSION, activations.VERSION, models.VERSION, *_raised(geometry.VERSIONS, methods)]


def methods_of_geometry(settings: Mapping[str, Any]) -> list[str]:
    """Methods that the geometry of an entry needs, out of `latentgen.geometry.VERSIONS`."""
    return [method for method in geometry.VERSIONS if method == "mean field" or settings["simulated"] is not None]


def of_gradients() -> list:
    """Of the gradients."""
    return [gradients.VERSION, activations.VERSION, models.VERSION]


def of_maps(methods: Iterable[str]) -> list:
    """Of maps by these methods."""
    return [maps.VERSION, activations.VERSION, models.VERSION, *_raised(maps.VERSIONS, methods)]


def of_transfer() -> list:
    """Of readouts that are replaced by class axes or means, which are those of two probes."""
    rooms = [interventions.VERSION, probes.VERSION, activations.VERSION, models.VERSION]
    used = _raised(probes.VERSIONS, ["velpic", "nearest_mean"])
    return [*rooms, *_raised(interventions.VERSIONS, ["transfer"]), *used]


def of_rewind() -> list:
    """Of rewinding."""
    rooms = [interventions.VERSION, activations.VERSION, models.VERSION]
    return [*rooms, *_raised(interventions.VERSIONS, ["rewind"])]


def of_edit() -> list:
    """Of trainings after an edit of the readout, by class axes."""
    return [*_of_trainings(), *_raised(interventions.VERSIONS, ["edit"]), *_raised(probes.VERSIONS, ["velpic"])]


def of_relabel(kind: str) -> list:
    """Of trainings on the labels of a probe of this kind."""
    return [*_of_trainings(), *_raised(interventions.VERSIONS, ["relabel"]), *_raised(probes.VERSIONS, [kind])]


def _of_trainings() -> list:
    return [interventions.VERSION, training.VERSION, probes.VERSION, activations.VERSION, models.VERSION]


def _raised(versions: Mapping[str, int], methods: Iterable[str]) -> list[list]:
    """Pairs of method and version, sorted, for those of the methods whose version was raised."""
    return [[method, versions[method]] for method in sorted(set(methods)) if versions[method] > FIRST]
