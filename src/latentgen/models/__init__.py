"""The zoo: networks by name, each knowing the layers that are probed. Importing this package does not import torch.

A model is any ``torch.nn.Module`` with an attribute ``probed``: a dict from layer name to the name of the submodule
whose output is that layer, in order of depth. The layer ``input`` (the flattened, normalised pixels) needs no entry.

Interventions also need an attribute ``readout``: the name of the last ``torch.nn.Linear`` submodule, the classifier.
The last probed layer, flattened, is then exactly what feeds it in eval mode. Every model of the zoo has one; a model
without it can be trained and probed, but not edited.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from latentgen import spelling

if TYPE_CHECKING:
    import torch

#: Raised by hand when a change alters what some name builds, or which weights belong to which layer.
VERSION = 1

#: The layer that every model has: its flattened, normalised image, equal at all checkpoints.
INPUT = "input"

#: What every model gives at its end, the logits. It can be read like a layer, but is none that probes are fitted on.
OUTPUT = "output"

#: What a configuration may say of a network besides how it is made: which of its submodules are what.
NAMING = ("probed", "readout")

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


def unnamed(model: Mapping[str, Any]) -> dict[str, Any]:
    """What of a declared model its weights depend on: not which of its submodules are layers."""
    return {key: value for key, value in model.items() if key not in NAMING}


def factory(name: str):
    """Callable behind ``name``: a name of the zoo or ``module:function``.

    Raises ``ValueError`` with Python's own reason when the module cannot be imported or has no such function.
    """
    target = FACTORIES.get(name, name)
    module, _, function = target.partition(":")
    if not function:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(FACTORIES)}, or 'module:function'")
    try:
        return functools.reduce(getattr, function.split("."), importlib.import_module(module))
    except Exception as error:
        raise ValueError(f"model factory {target!r} cannot be loaded: {type(error).__name__}: {error}") from error


def initialised(
    model: Mapping[str, Any], in_shape: tuple[int, int, int], n_classes: int, seed: int
) -> "torch.nn.Module":
    """New network of a declared model on the CPU, drawn from ``seed``; the global generator is kept.

    It is all that training needs; which of its submodules are layers does not matter. A factory is called with
    ``(in_shape, n_classes, **options)``, or, where it does not take these, as torchvision's do not, with
    ``(num_classes=n_classes, **options)``. Modules that find their shapes in the first forward pass, such as
    ``torch.nn.LazyLinear``, are drawn here, in a pass over empty images.

    Parameters
    ----------
    model : ``factory`` and ``options``; the rest is ignored

    Raises ``ValueError`` when the factory is unknown or makes no ``torch.nn.Module``.
    """
    import torch

    from latentgen import seeds

    make = factory(model["factory"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive("initialisation", seed))
        network = _called(make, tuple(in_shape), n_classes, model["options"])
        if not isinstance(network, torch.nn.Module):
            raise ValueError(
                f"model {model['factory']!r}: the factory returns {type(network).__name__}, no torch.nn.Module"
            )
        if any(isinstance(module, torch.nn.modules.lazy.LazyModuleMixin) for module in network.modules()):
            training = network.training
            with torch.no_grad():
                network.eval()(torch.zeros(2, *in_shape))
            network.train(training)
    return network


def _called(make: Callable, in_shape: tuple[int, int, int], n_classes: int, options: Mapping[str, Any]) -> Any:
    def fits(*args: Any, **kwargs: Any) -> bool:
        try:
            inspect.signature(make).bind(*args, **kwargs, **options)
        except TypeError:
            return False
        except ValueError:  # compiled code may have no signature
            return True
        return True

    if not fits(in_shape, n_classes) and "num_classes" not in options and fits(num_classes=n_classes):
        return make(num_classes=n_classes, **options)
    return make(in_shape, n_classes, **options)


def build(
    name: str,
    in_shape: tuple[int, int, int],
    n_classes: int,
    seed: int,
    options: Mapping[str, Any] | None = None,
    **naming: Any,
) -> "torch.nn.Module":
    """`initialised`, with its layers and its readout named.

    The zoo initialises as PyTorch does by default, ``vgg16`` as torchvision does.

    Parameters
    ----------
    naming : ``probed`` and ``readout``, in place of the attributes that the factory's product has

    Raises ``ValueError`` when the factory is unknown, or its product names no probed layers, or one ``input`` or
    ``output``, or has a ``readout`` that names no ``torch.nn.Linear`` submodule.
    """
    network = initialised({"factory": name, "options": options or {}}, in_shape, n_classes, seed)
    try:
        name_layers(network, naming)
    except ValueError as error:
        raise ValueError(f"model {name!r}: {error}") from error
    return network


def declared(model: Mapping[str, Any], in_shape: tuple[int, int, int], n_classes: int, seed: int) -> "torch.nn.Module":
    """`build` of a declared model: ``factory``, ``options``, perhaps ``probed`` and ``readout``."""
    naming = {attribute: model[attribute] for attribute in NAMING if attribute in model}
    return build(model["factory"], in_shape, n_classes, seed, model["options"], **naming)


def name_layers(network: "torch.nn.Module", naming: Mapping[str, Any]) -> None:
    """Give ``network`` the attributes of ``naming`` (`NAMING`), and make sure that what it names is there.

    Raises ``ValueError`` when ``network.probed`` is missing or names no submodule, or ``network.readout``, if there is
    one, no ``torch.nn.Linear``.
    """
    children = dict(network.named_children())
    for attribute, value in naming.items():
        if attribute in children:
            raise ValueError(f"a submodule is called {attribute!r}, as is the attribute that names one; rename it")
        setattr(network, attribute, value)
    probed = getattr(network, "probed", None)
    if not isinstance(probed, Mapping) or not probed:
        raise ValueError(
            "needs an attribute 'probed': a dict from layer name to submodule name; or write 'probed' beside 'factory'"
        )
    modules = dict(network.named_modules())
    for layer, module in probed.items():
        if layer in (INPUT, OUTPUT):
            raise ValueError(f"{layer!r} always names the network's {layer}; call the layer otherwise")
        if not isinstance(layer, str) or not layer or "/" in layer:
            raise ValueError(f"{layer!r} cannot be the name of a layer, which names files; use letters and digits")
        if module not in modules:
            near = spelling.allowed(module, [name for name in modules if name])
            raise ValueError(f"layer {layer!r} names the submodule {module!r}, which does not exist; {near}")
    if hasattr(network, "readout"):
        readout(network)


def readout(model: "torch.nn.Module") -> "torch.nn.Linear":
    """Classifier of ``model``: the submodule that its attribute ``readout`` names.

    Raises ``ValueError`` when the model has no such attribute, or it names no ``torch.nn.Linear`` submodule.
    """
    from torch import nn

    if not hasattr(model, "readout"):
        raise ValueError(
            f"{type(model).__name__} needs an attribute 'readout': the name of its last nn.Linear submodule"
        )
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if isinstance(model.readout, str) and model.readout in linear:
        return model.get_submodule(model.readout)
    raise ValueError(
        f"attribute 'readout' must name an nn.Linear submodule, which {model.readout!r} does not; "
        f"{spelling.allowed(model.readout, linear)}"
    )
