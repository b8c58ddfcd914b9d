"""How many trained weights the layers of declared models have."""

from collections.abc import Mapping
from typing import Any

from latentgen import models


def layer_rows(
    dataset: str, in_shape: tuple[int, int, int], n_classes: int, declared: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of `latentgen.tables.LAYERS` for models on one data set, by model, then depth.

    The rows of a model add up to its trained weights that the logits depend on; a layer without any, such as a pooling,
    has no row (`latentgen.models.layers.weights_by_layer`).

    Parameters
    ----------
    dataset : its name
    in_shape : (channels, height, width) of its images
    n_classes : of its labels
    declared : name → ``factory`` and ``options``

    Raises
    ------
    ValueError
        A factory is unknown, or a model names layers that it does not have or reach.
    """
    import torch

    from latentgen.models.layers import weights_by_layer

    rows = []
    for name, model in declared.items():
        # Weights are counted, so that any seed will do.
        network = models.declared(model, in_shape, n_classes, 0).eval()
        size = {weight: parameter.numel() for weight, parameter in network.named_parameters()}
        for part in weights_by_layer(network, torch.zeros(1, *in_shape)):
            count = sum(size[weight] for weight in part.parameters)
            names = {"dataset": dataset, "model": name, "layer": part.layer}
            rows.append({**names, "depth": part.depth, "parameters": count})
    return rows
