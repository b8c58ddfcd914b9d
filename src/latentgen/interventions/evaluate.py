"""Accuracy of networks whose readout is replaced, all variants in one pass over the examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from latentgen import models
from latentgen.activations.sources import Stream
from latentgen.interventions.heads import NEW, Variant, class_rows, expect_to_feed, readout_of, replacing
from latentgen.probes.arrays import as_tensor
from latentgen.probes.evaluate import Scoring, Task, scorings
from latentgen.probes.passes import class_moments


@torch.no_grad()
def evaluate(source: Stream, layers: Sequence[str], task: Task) -> list[dict[str, Any]]:
    """Rows of the table of weight transfer without the columns of run, epoch and inputs.

    The rows of a readout are fitted on the training split under its given labels, and every variant is scored on the
    test set, the training split and what is held out. The last layer has the variants of the network's own readout,
    every other layer those of a new one.

    Raises ``ValueError`` when the model names no readout, or its last probed layer is not what feeds it.
    """
    heads = _heads(source, layers, task)
    found = []
    for scoring in scorings(task.labels, task.test_labels):
        correct = _correct(source, heads, scoring)
        for (layer, kind), counts in correct.items():
            for (head, variant), count in zip(heads[layer][0], counts.tolist(), strict=True):
                found.append(
                    {
                        "layer": layer,
                        "depth": source.layers.index(layer),
                        "head": head,
                        **variant._asdict(),
                        "split": scoring.split,
                        "labels": kind,
                        "metric": "accuracy",
                        "value": count / len(scoring.rows),
                        "n": len(scoring.rows),
                    }
                )
    return found


def _heads(
    source: Stream, layers, task: Task
) -> dict[str, tuple[list[tuple[str, Variant]], torch.Tensor, torch.Tensor]]:
    """Per layer the variants, and their weights (variants x C, d) and biases (variants x C,) stacked."""
    given = torch.from_numpy(task.labels.given).to(source.device)
    own = models.readout(source.model)
    heads = {}
    moments = class_moments(source, layers, task.labels, {"given": given}, task.n_classes)
    for layer in layers:
        rows = {kind: class_rows(moments[layer, "given"], kind) for kind in ("axis", "mean")}
        rows["none"] = own.weight.double()
        del moments[layer, "given"]
        if layer == source.layers[-1]:
            expect_to_feed(source, layer)
            chosen = [("replaced", variant) for variant in replacing(own.bias is not None)]
        else:
            chosen = [("new", variant) for variant in NEW]
        made = [readout_of(variant, rows[variant.rows], own.weight, own.bias) for _, variant in chosen]
        heads[layer] = (chosen, torch.cat([weight for weight, _ in made]), torch.cat([bias for _, bias in made]))
    return heads


def _correct(source: Stream, heads, scoring: Scoring) -> dict[tuple[str, str], np.ndarray]:
    """Counts of right predictions of each variant, (variants,), by layer and kind of label."""
    counts: dict[tuple[str, str], torch.Tensor] = {}
    for rows, parts in source.chunks(scoring.part, list(heads)):
        first, last = np.searchsorted(scoring.rows, [rows.start, rows.stop])
        if first == last:
            continue
        wanted = torch.from_numpy(scoring.rows[first:last] - rows.start).to(source.device)
        for layer, part in parts.items():
            variants, weight, bias = heads[layer]
            logits = functional.linear(part[wanted], weight, bias).unflatten(1, (len(variants), -1))
            predicted = logits.argmax(2)
            for kind, target in scoring.targets.items():
                right = predicted == as_tensor(target[first:last]).to(source.device)[:, None]
                counts[layer, kind] = counts.get((layer, kind), 0) + right.sum(0)
    return {key: count.cpu().numpy() for key, count in counts.items()}
