"""Gradients of one checkpoint on the groups of its run's training examples."""

from typing import Any

import numpy as np

from latentgen.activations.sources import Stream
from latentgen.gradients.measures import LayerGradients, layer_gradients
from latentgen.gradients.passes import PARTS
from latentgen.labels import RunLabels

#: Part that depends on labels, and what it adds to the total with.
COUNTERPARTS = {"label": "independent", "label_centered": "independent_centered"}
#: Groups that are compared with the unpermuted examples.
COMPARED = ("permuted", "selected")


def evaluate(source: Stream, labels: RunLabels) -> list[dict[str, Any]]:
    """Rows of the table of gradients, without the columns of run, epoch and inputs.

    Of the weights that ``source`` has loaded, towards the given labels, on the training split; what is held out of it
    does not count.
    """
    given, wrong = labels.given[labels.train], labels.given[labels.train] != labels.true[labels.train]
    groups = {"unpermuted": ~wrong, "permuted": wrong, "selected": labels.selected[labels.train]}
    found = layer_gradients(source.model, source.pixels["train"].batch, labels.train, given, groups)
    return [row for gradients in found for row in _rows(gradients)]


def _rows(gradients: LayerGradients) -> list[dict[str, Any]]:
    rows = []
    for group, n in gradients.sizes.items():
        for part in PARTS:
            norm = gradients.norm(group, part)
            values = {
                "norm": norm,
                "norm_per_root_parameter": norm / np.sqrt(gradients.parameters),
                "projection": gradients.projection(group, part),
            }
            if group in COMPARED:
                values["cosine_with_unpermuted"] = gradients.cosine((group, part), ("unpermuted", part))
            if part in COUNTERPARTS:
                values["cosine_with_independent"] = gradients.cosine((group, part), (group, COUNTERPARTS[part]))
            rows += [
                {
                    "layer": gradients.layer,
                    "depth": gradients.depth,
                    "parameters": gradients.parameters,
                    "group": group,
                    "part": part,
                    "metric": metric,
                    # Null where a value is undefined, for NaN would spread through means.
                    "value": float(value) if np.isfinite(value) else None,
                    "n": n,
                }
                for metric, value in values.items()
            ]
    return rows
