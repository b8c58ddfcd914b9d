"""Which weights belong to which layer of a network: any that names its layers, without code for any of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from latentgen.models import INPUT, OUTPUT


class LayerWeights(NamedTuple):
    """What a network computes between one of its layers and the one before.

    ``depth`` is the layer's place among input (0), the probed layers and output; ``parameters`` and ``buffers`` are
    names in the network's state dict.
    """

    layer: str
    depth: int
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]


def weights_by_layer(model: nn.Module, images: torch.Tensor) -> list[LayerWeights]:
    """The weights of each layer, in order of depth; layers without parameters, such as poolings, are left out.

    A parameter belongs to the first layer whose activation depends on it, by differentiation, so that shared ones and
    those that no module of their own applies find their place; what comes after the last probed layer belongs to
    ``output``. The buffers of a module, such as running statistics, belong to the layer that is computed when it is
    called, or to the next that has parameters. Weights that are not trained, or that nothing depends on, belong to
    none.

    Parameters
    ----------
    model : with the attribute ``probed`` (`latentgen.models`), in eval mode
    images : (b, channels, height, width) float32 on its device; one is enough

    Raises
    ------
    ValueError
        A probed layer is not reached.
    """
    layers, reached, owners = [INPUT, *model.probed, OUTPUT], {}, {}
    named = dict(model.named_modules())
    hooks = [
        named[module].register_forward_hook(partial(_keep, reached, layer)) for layer, module in model.probed.items()
    ]
    for name, module in named.items():
        if any(True for _ in module.buffers(recurse=False)):
            hooks.append(module.register_forward_pre_hook(partial(_place, owners, reached, name)))
    try:
        with torch.enable_grad(), differentiable(model):
            reached[OUTPUT] = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    missing = [layer for layer in model.probed if layer not in reached]
    if missing:
        raise ValueError(f"the forward pass of the model does not reach the layer {missing[0]!r}")
    kept = set(model.state_dict())
    left = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found, buffers = [], []
    for depth, layer in enumerate(layers[1:], start=1):
        own = _depends_on(reached[layer], left)
        left = {name: parameter for name, parameter in left.items() if name not in own}
        # A module that is called before this layer is there, and after those before it, is of this layer.
        modules = [name for name, done in owners.items() if _first_after(done, layers[1:]) == layer]
        buffers += [
            f"{name}.{buffer}" if name else buffer
            for name in modules
            for buffer, _ in named[name].named_buffers(recurse=False)
        ]
        if own:
            found.append(LayerWeights(layer, depth, tuple(own), tuple(buffer for buffer in buffers if buffer in kept)))
            buffers = []
    return found


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Let recurrent modules be differentiated in eval mode on a GPU, which cuDNN does in training mode alone."""
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        with torch.backends.cudnn.flags(enabled=False):
            yield
    else:
        yield


def _keep(reached: dict[str, torch.Tensor], layer: str, _module, _inputs, output: torch.Tensor) -> None:
    reached[layer] = output.clone()  # a module that follows may work in place


def _place(owners: dict[str, set[str]], reached: dict[str, torch.Tensor], name: str, _module, _inputs) -> None:
    owners.setdefault(name, set(reached))


def _first_after(done: set[str], layers: list[str]) -> str:
    return next(layer for layer in layers if layer not in done)


def _depends_on(activation: torch.Tensor, parameters: dict[str, nn.Parameter]) -> list[str]:
    """Names of the parameters that ``activation`` depends on."""
    if not parameters or not activation.requires_grad:
        return []
    gradients = torch.autograd.grad(activation.sum(), list(parameters.values()), retain_graph=True, allow_unused=True)
    return [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
