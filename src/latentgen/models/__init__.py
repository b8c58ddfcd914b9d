"""The zoo: networks by name, each knowing the layers that are probed. Importing this package does not import torch.

A model is any ``torch.nn.Module`` with an attribute ``probed``: a dict from layer name to the name of the submodule
whose output is that layer, in order of depth. The layer ``input`` (the flattened, normalised pixels) needs no entry.

Interventions also need an attribute ``readout``: the name of the last ``torch.nn.Linear`` submodule, the classifier.
The last probed layer, flattened, is then exactly what feeds it in eval mode. Every model of the zoo has one; a model
without it can be trained and probed, but not edited.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Raised by hand when a change alters what some name builds, or which weights belong to which layer.
VERSION = 1

#: The layer that every model has: its flattened, normalised image, equal at all checkpoints.
INPUT = "input"

#: What every model gives at its end, the logits. It can be read like a layer, but is none that probes are fitted on.
OUTPUT = "output"

#: Names that a configuration may use, and the factory behind each. A factory is called with
#: (in_shape, n_classes, **options), where in_shape is (channels, height, width).
FACTORIES: dict[str, str] = {
    "mlp": "latentgen.models.mlp:mlp",
    "mlp_small": "latentgen.models.mlp:mlp_small",
    "cnn": "latentgen.models.cnn:cnn",
    "cnn_small": "latentgen.models.cnn:cnn_small",
    "alexnet": "latentgen.models.alexnet:alexnet",
    "resnet18": "latentgen.models.resnet:resnet18",
    "vgg16": "latentgen.models.vgg:vgg16",
}


def factory(name: str):
    """Callable behind ``name``: a name of the zoo or ``module:function``.

    Raises ``ValueError`` when the module cannot be imported or has no such function.
    """
    target = FACTORIES.get(name, name)
    module, _, function = target.partition(":")
    if not function:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(FACTORIES)}, or 'module:function'")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model factory {target!r} cannot be loaded: {error}") from error


def build(
    name: str,
    in_shape: tuple[int, int, int],
    n_classes: int,
    seed: int,
    options: Mapping[str, Any] | None = None,
) -> "torch.nn.Module":
    """New model on the CPU with its initialisation drawn from ``seed``; the global generator is kept.

    The zoo initialises as PyTorch does by default, ``vgg16`` as torchvision does.

    Raises ``ValueError`` when the factory is unknown, or its product names no probed layers, or one ``input`` or
    ``output``, or has a ``readout`` that names no ``torch.nn.Linear`` submodule.
    """
    import torch

    from latentgen import seeds

    make = factory(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive("initialisation", seed))
        model = make(tuple(in_shape), n_classes, **(options or {}))
    probed = getattr(model, "probed", None)
    if not isinstance(probed, Mapping) or not probed:
        raise ValueError(f"model {name!r} needs an attribute 'probed': a dict from layer name to submodule name")
    modules = dict(model.named_modules())
    for layer, module in probed.items():
        if layer in (INPUT, OUTPUT):
            raise ValueError(f"model {name!r}: {layer!r} always names the network's {layer}; call the layer otherwise")
        if module not in modules:
            raise ValueError(f"model {name!r}: layer {layer!r} names the submodule {module!r}, which does not exist")
    if hasattr(model, "readout"):
        try:
            readout(model)
        except ValueError as error:
            raise ValueError(f"model {name!r}: {error}") from error
    return model


def readout(model: "torch.nn.Module") -> "torch.nn.Linear":
    """Classifier of ``model``: the submodule that its attribute ``readout`` names.

    Raises ``ValueError`` when the model has no such attribute, or it names no ``torch.nn.Linear`` submodule.
    """
    from torch import nn

    if not hasattr(model, "readout"):
        raise ValueError(
            f"{type(model).__name__} needs an attribute 'readout': the name of its last nn.Linear submodule"
        )
    for name, module in model.named_modules():
        if name == model.readout and isinstance(module, nn.Linear):
            return module
    raise ValueError(f"attribute 'readout' must name an nn.Linear submodule, which {model.readout!r} does not")
