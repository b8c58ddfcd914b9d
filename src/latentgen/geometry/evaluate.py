"""Geometry of the layers of one checkpoint in all views."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from latentgen import seeds
from latentgen.activations import INPUT, OUTPUT, named_layers
from latentgen.activations.sources import Stream
from latentgen.datasets import Dataset
from latentgen.geometry.centers import center_axes
from latentgen.geometry.manifolds import DegenerateError, checked, manifold_geometry
from latentgen.geometry.measures import measures
from latentgen.geometry.projection import Projection
from latentgen.geometry.simulated import simulated_capacity
from latentgen.geometry.views import View, views
from latentgen.labels import RunLabels
from latentgen.progress import log

#: Metrics of the mean-field analysis.
MEAN_FIELD = ("capacity", "radius", "dimension", "center_correlation", "center_axes")
#: Those of them that depend on the margin.
WITH_MARGIN = ("capacity", "radius", "dimension")
#: Those of `latentgen.geometry.measures`.
STANDARD = (
    "participation_ratio",
    "axes_90",
    "class_participation_ratio",
    "within_distance",
    "center_distance",
    "separability",
    "intrinsic_dimension",
)
#: Half width of a 95 % interval in standard errors.
_HALF_WIDTH = 1.96


class Analysis:
    """Rows of the table of geometry, without the columns of run, epoch and inputs, of what ``source`` has loaded.

    Parameters
    ----------
    labels : of each data seed; settings : complete, see `latentgen.geometry.declaration`
    threads : over manifolds; results do not depend on it

    Raises ``ValueError`` when settings name a layer that the model does not have.
    """

    def __init__(
        self,
        source: Stream,
        labels: Mapping[int, RunLabels],
        data: Dataset,
        settings: Mapping[str, Any],
        threads: int,
    ):
        self.source, self.settings, self.threads = source, settings, threads
        self.layers = [*source.layers, OUTPUT]
        self._analysed_layers = named_layers(settings["layers"], source.layers, "geometry.layers")
        simulated = settings["simulated"]
        wanted = simulated["layers"] if simulated else []
        self._measured_layers = named_layers(wanted, source.layers, "geometry.simulated.layers")
        self._views = {
            seed: views(of_run, data.y_test, data.n_classes, settings["points"], seed)
            for seed, of_run in labels.items()
        }
        width = settings["features"]
        self._project = Projection(width, 0, source.device) if width is not None else lambda x: x
        self._of_input: dict[tuple[int, str], list[dict[str, Any]]] = {}

    def mean_field(self, data_seed: int) -> list[dict[str, Any]]:
        """Mean-field analysis and standard measures of every layer that settings name, in every view.

        Directions are the same for all layers, views and epochs of a data seed, so that differences between them are
        not those between draws.
        """
        rows = []
        for view in self._views[data_seed]:
            known = self._of_input.get((data_seed, view.name))
            missing = [layer for layer in self._analysed_layers if layer != INPUT or known is None]
            for layer, manifolds in self._manifolds(view, missing):
                found = self._analysed(manifolds, data_seed, f"{view.name}, {layer}")
                found = [self._row(layer, view, *values) for values in found]
                if layer == INPUT:  # equal at every epoch
                    self._of_input[data_seed, view.name] = known = found
                else:
                    rows += found
            rows += known or []
        return sorted(rows, key=lambda row: row["depth"])

    def simulated(self, data_seed: int) -> list[dict[str, Any]]:
        """Capacity measured by random dichotomies, without the centre axes that theory removes, and with them."""
        rows = []
        for view in self._views[data_seed]:
            for layer, manifolds in self._manifolds(view, self._measured_layers):
                for metric, removed in (("simulated_capacity", True), ("simulated_capacity_raw", False)):
                    found = self._measured(manifolds, removed, data_seed, f"{view.name}, {layer}")
                    rows.append(self._row(layer, view, metric, *found))
        return sorted(rows, key=lambda row: row["depth"])

    def _manifolds(self, view: View, layers: Iterable[str]) -> Iterator[tuple[str, list[np.ndarray]]]:
        """Each layer with (points, features) of every class, float64; no class where the view is empty."""
        if not view.n:
            yield from ((layer, []) for layer in layers)
            return
        layers = list(layers)
        collected: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
        origins: dict[str, torch.Tensor] = {}
        for _, parts in self.source.chunks(view.split, layers, examples=view.examples.ravel()):
            for layer, part in parts.items():
                # Where the origin lies matters to no measure, but to the rounding of a projection in float32.
                origin = origins.setdefault(layer, part[:1].clone())
                collected[layer].append(self._project(part - origin).cpu())
        for layer in layers:
            features = torch.cat(collected.pop(layer)).double().numpy()
            yield layer, list(features.reshape(*view.examples.shape, -1))

    def _analysed(self, manifolds, data_seed: int, where: str) -> Iterator[tuple]:
        """(metric, value, error, spread, kappa) of one layer in one view; what a tuple lacks is null."""
        settings, kappa = self.settings, self.settings["kappa"]
        if not all(np.isfinite(part).all() for part in manifolds):
            log.warning("%s: activations are not finite, so nothing is defined", where)
            manifolds = []
        if not manifolds:
            yield from _undefined(kappa)
            yield from ((metric, None) for metric in STANDARD)
            return
        try:
            result = manifold_geometry(
                manifolds,
                kappa=kappa,
                n_t=settings["directions"],
                seed=seeds.derive("geometry directions", data_seed),
                n_restarts=settings["restarts"],
                n_jobs=self.threads,
            )
        except DegenerateError as error:
            log.info("%s: geometry is undefined: %s", where, error)
            yield from _undefined(kappa)
        else:
            yield "capacity", result.capacity, result.capacity_error, result.capacity_spread, kappa
            yield "radius", result.radius, None, result.radius_spread, kappa
            yield "dimension", result.dimension, None, result.dimension_spread, kappa
            yield "center_correlation", result.center_correlation
            yield "center_axes", result.n_center_axes
        found = measures(manifolds, self.source.device)
        yield from ((metric, found[metric]) for metric in STANDARD)

    def _measured(self, manifolds, removed: bool, data_seed: int, where: str) -> tuple[float | None, float | None]:
        """Simulated capacity and its standard error, from the 95 % interval where that is closed."""
        if not manifolds:
            return None, None
        try:
            points, mean, centers = checked(manifolds)
        except DegenerateError as error:
            log.info("%s: capacity cannot be measured: %s", where, error)
            return None, None
        points = [part - mean for part in points]
        if removed:
            seed = seeds.derive("geometry directions", data_seed)
            axes = center_axes(centers, self.settings["restarts"], seed).axes
            points = [part - part @ axes @ axes.T for part in points]
        seed = seeds.derive("geometry dichotomies", data_seed)
        found = simulated_capacity(points, self.settings["simulated"]["dichotomies"], seed)
        low, high = found.interval
        return found.capacity, (high - low) / 2 / _HALF_WIDTH if low > 0 else None

    def _row(self, layer: str, view: View, metric: str, value, error=None, spread=None, kappa=None) -> dict[str, Any]:
        classes, points = view.examples.shape
        return {
            "layer": layer,
            "depth": self.layers.index(layer),
            "view": view.name,
            "kappa": kappa,
            "metric": metric,
            "value": _number(value),
            "error": _number(error),
            "spread": _number(spread),
            "n": view.n,
            "classes": classes,
            "points": points,
            "unstructured": 2.0 / points if points else None,
        }


def _undefined(kappa: float) -> Iterator[tuple]:
    """Mean-field metrics without values."""
    for metric in MEAN_FIELD:
        yield (metric, None, None, None, kappa) if metric in WITH_MARGIN else (metric, None)


def _number(value) -> float | None:
    """Null where a value is undefined, for NaN would spread through means."""
    return None if value is None or not np.isfinite(value) else float(value)
