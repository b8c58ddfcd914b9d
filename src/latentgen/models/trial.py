"""A network on trial: two images pass through it before anything is trained, and what it does is held to the contract.

The contract is that of `latentgen.models`: logits for each example, layers that are found, readout, a draw that the
seed decides, weights that a checkpoint holds. Every message says what was found and what to do.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from latentgen import models
from latentgen.models import OUTPUT
from latentgen.models.layers import weights_by_layer
from latentgen.models.refusal import Refused
from latentgen.progress import log

#: Images that pass through: two, so that an axis of examples can be told from others.
EXAMPLES = 2
#: Relative and absolute difference up to which outputs count as the same: rounding depends on the order of examples.
_CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def try_network(model: Mapping[str, Any], in_shape: tuple[int, int, int], n_classes: int) -> dict[str, Any]:
    """Build a declared model, pass two images through it, and describe it.

    Parameters
    ----------
    model : ``factory`` and ``options``, perhaps ``probed`` and ``readout``

    Returns
    -------
    ``refused``, None or why; ``layers``, a list in order of depth: ``layer``, ``module``, ``shape`` of an example's
    activation, ``features``, ``parameters`` (trained weights that belong to it); ``readout``, a submodule or None;
    ``tied``, None or a weight that is the readout's too; ``candidates``, where its layers are refused: submodules that
    could be layers, in order, with ``module`` and ``shape``; ``readout`` is then the last linear one.
    """
    found = {"refused": None, "layers": [], "readout": None, "tied": None, "candidates": []}
    kept = torch.get_default_dtype()
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            _try(model, tuple(in_shape), n_classes, found)
    except Refused as refusal:
        found["refused"] = str(refusal)
    except (Exception, SystemExit) as error:  # whatever a user's code does, the networks beside it have their verdicts
        log.exception("the trial of %s", model["factory"])
        found["refused"] = f"it cannot be tried: {type(error).__name__}: {error}"
    finally:
        torch.set_default_dtype(kept)
        random.setstate(state)
        np.random.set_state(numpy_state)
    return found


def _try(model: Mapping[str, Any], in_shape: tuple[int, int, int], n_classes: int, found: dict[str, Any]) -> None:
    network = _made(model, in_shape, n_classes, 0)
    _expect_weights(network)
    _expect_equal_draws(network, _made(model, in_shape, n_classes, 0))
    images = torch.randn(EXAMPLES, *in_shape, generator=torch.Generator().manual_seed(0))
    network.eval()
    _expect_logits(_passed(network, images), EXAMPLES, n_classes, "")
    seen = _Seen(network, images)
    found["candidates"], found["readout"] = seen.candidates()
    _name(network, model)
    found["layers"] = [
        {"layer": layer, "module": module, "shape": list(seen.layer(layer, module).shape[1:])}
        for layer, module in network.probed.items()
    ]
    for layer in found["layers"]:
        layer["features"] = int(np.prod(layer["shape"], dtype=int))
    seen.expect_order()
    _expect_example_by_example(network, images, seen, n_classes)
    _expect_readout(network, seen, n_classes)
    found["candidates"], found["readout"] = [], getattr(network, "readout", None)
    found["tied"] = _tied(network)
    counts = _weights(network, images[:1])
    for layer in found["layers"]:
        layer["parameters"] = counts.get(layer["layer"], 0)
    found["layers"].append({"layer": OUTPUT, "module": "", "shape": [n_classes], "features": n_classes})
    found["layers"][-1]["parameters"] = counts.get(OUTPUT, 0)
    _expect_whole_checkpoints(network, _made(model, in_shape, n_classes, 1), images)
    _expect_training(network, images, n_classes)


# ---- making it ----


def _made(model: Mapping[str, Any], in_shape: tuple[int, int, int], n_classes: int, seed: int) -> nn.Module:
    # Other generators than torch's stand elsewhere each time, as in another process.
    random.seed()
    np.random.seed(None)
    dtype = torch.get_default_dtype()
    try:
        network = models.initialised(model, in_shape, n_classes, seed)
    except ValueError as error:
        raise Refused(f"it cannot be made: {error}") from error
    except (Exception, SystemExit) as error:
        raise Refused(f"it cannot be made: {type(error).__name__}: {error}") from error
    if torch.get_default_dtype() != dtype:
        raise Refused("the factory changes torch's default dtype, which other networks have too; convert the network")
    return network


def _name(network: nn.Module, model: Mapping[str, Any]) -> None:
    try:
        models.name_layers(network, {key: model[key] for key in models.NAMING if key in model})
    except ValueError as error:
        raise Refused(str(error)) from error


def _expect_weights(network: nn.Module) -> None:
    parameters = dict(network.named_parameters())
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise Refused("it has no weights that training could change; give it a layer with weights")
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise Refused(
                f"the weight {name!r} is {_dtype(parameter)}; images, probes and checkpoints are float32: let the "
                "factory return network.float()"
            )
        if parameter.device.type != "cpu":
            raise Refused(f"the weight {name!r} lies on {parameter.device}; build on the CPU, 'device' decides later")
    for name, value in network.state_dict().items():
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise Refused(f"{name!r} of its state dict is no dense tensor, which checkpoints hold; keep it in a buffer")


def _expect_equal_draws(network: nn.Module, again: nn.Module) -> None:
    ours, theirs = network.state_dict(), again.state_dict()
    for name in ours | theirs:
        if name not in ours or name not in theirs or not _equal(ours[name], theirs[name]):
            raise Refused(
                f"built twice with the same seed, it differs in {name!r}; draw everything from torch's own generator, "
                "which is seeded, not from numpy, random, the time or a generator of your own"
            )


def _equal(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and torch.equal(ours.nan_to_num(), theirs.nan_to_num())


# ---- passing images through it ----


def _passed(network: nn.Module, images: torch.Tensor) -> Any:
    """Output for ``images``, which stay as they are."""
    try:
        with torch.no_grad():
            return network(images.clone())
    except Exception as error:
        mode = " in training mode" if network.training else ""
        raise Refused(
            f"its forward pass{mode} fails on {len(images)} image{'s' * (len(images) > 1)} of shape "
            f"{tuple(images.shape[1:])}: {type(error).__name__}: {error}"
        ) from error


def _expect_logits(output: Any, examples: int, n_classes: int, mode: str) -> None:
    wanted = f"a tensor of shape (examples, {n_classes})"
    if not isinstance(output, torch.Tensor):
        raise Refused(f"it returns {_kind(output)}{mode}; return the logits alone, {wanted}")
    if output.shape != (examples, n_classes):
        if output.dim() == 2 and len(output) == examples:
            raise Refused(
                f"it has {output.shape[1]} outputs{mode} for {n_classes} classes; let its last layer have as many "
                "as the factory is told"
            )
        raise Refused(f"its logits for {examples} images have shape {tuple(output.shape)}{mode}; return {wanted}")
    if output.dtype != torch.float32:
        raise Refused(f"its logits are {_dtype(output)}{mode}, not float32; let the factory return network.float()")
    if not torch.isfinite(output).all():
        raise Refused(f"its logits are not finite{mode} before any training; draw smaller weights")


class _Seen:
    """What the submodules of a network gave in one pass over ``images`` in eval mode.

    ``calls`` : outputs by submodule, one for each call; ``order`` : submodules as their calls ended
    """

    def __init__(self, network: nn.Module, images: torch.Tensor):
        self.network = network
        self.calls: dict[str, list[Any]] = {}
        self.order: list[str] = []
        self.inputs: dict[str, Any] = {}
        with _hooked(network, self._keep):
            self.logits = _passed(network, images)

    def _keep(self, name: str, inputs: tuple, output: Any) -> None:
        self.calls.setdefault(name, []).append(_copy(output))  # a module that follows may work in place
        self.order.append(name)
        self.inputs[name] = _copy(inputs[0]) if inputs else None

    def layer(self, layer: str, module: str) -> torch.Tensor:
        """The activation of a layer, (examples, …) float32."""
        called = self.calls.get(module, [])
        kind = type(self.network.get_submodule(module)).__name__
        what = f"layer {layer!r} (submodule {module!r}, {kind})"
        if len(called) != 1:
            times = f"called {len(called)} times" if called else "never called"
            raise Refused(f"{what} is {times} in a forward pass; give each layer a submodule that is called once")
        (output,) = called
        if not isinstance(output, torch.Tensor):
            raise Refused(
                f"{what} returns {_kind(output)}; name a submodule that returns one tensor, or wrap it in one"
            )
        if output.dim() < 1 or len(output) != len(self.logits):
            shape = tuple(output.shape)
            raise Refused(f"{what} gives shape {shape} for {len(self.logits)} images; examples must come first")
        if output.dtype != torch.float32:
            raise Refused(f"{what} gives {_dtype(output)}, not float32; name another submodule, or convert its output")
        if not output.numel():
            raise Refused(f"{what} gives no features, shape {tuple(output.shape)}; the images may be too small for it")
        if not torch.isfinite(output).all():
            raise Refused(f"{what} is not finite before any training; draw smaller weights")
        return output

    def expect_order(self) -> None:
        """Layers come in order of depth."""
        named = list(self.network.probed.items())
        sorted_ = sorted(named, key=lambda pair: self.order.index(pair[1]))
        if sorted_ != named:
            names = ", ".join(layer for layer, _ in sorted_)
            raise Refused(f"its layers are not computed in the order of 'probed'; name them in this one: {names}")

    def candidates(self) -> tuple[list[dict[str, Any]], str | None]:
        """Submodules that could be layers, in order, with the shapes of their outputs; and the last linear one."""
        linear = [name for name in self.order if isinstance(self.network.get_submodule(name), nn.Linear)]
        before = self.order[: self.order.index(linear[-1])] if linear else self.order
        usable = [
            {"module": name, "shape": list(self.calls[name][0].shape[1:])}
            for name in before
            if name and len(self.calls[name]) == 1 and _examples_first(self.calls[name][0], len(self.logits))
        ]
        return usable, linear[-1] if linear else None


def _expect_example_by_example(network: nn.Module, images: torch.Tensor, seen: _Seen, n_classes: int) -> None:
    """Nothing is random in eval mode, and no example depends on its place or neighbours."""
    again = _Seen(network, images)
    turned = _Seen(network, images.flip(0))
    pairs = [("logits", seen.logits, again.logits, turned.logits)]
    for layer, module in network.probed.items():
        pairs.append((f"layer {layer!r}", *(one.layer(layer, module) for one in (seen, again, turned))))
    for what, first, second, other in pairs:
        if not torch.equal(first, second):
            raise Refused(
                f"its {what} differ from call to call in eval mode; let what is random heed self.training, as "
                "nn.Dropout does"
            )
        if not torch.allclose(first, other.flip(0), **_CLOSE):
            raise Refused(
                f"its {what} depend on the order of the images; the first axis must be that of the examples, and none "
                "may depend on its neighbours in eval mode"
            )
    _expect_logits(_passed(network, images[:1]), 1, n_classes, " for one image")


def _expect_readout(network: nn.Module, seen: _Seen, n_classes: int) -> None:
    if not hasattr(network, "readout"):
        return
    name, last = network.readout, list(network.probed)[-1]
    readout = models.readout(network)
    if len(seen.calls.get(name, [])) != 1:
        raise Refused(f"its readout {name!r} is called {len(seen.calls.get(name, []))} times; name the last linear one")
    if readout.out_features != n_classes or not torch.equal(seen.calls[name][0], seen.logits):
        raise Refused(f"what its readout {name!r} gives are not the logits; name the last linear submodule, or none")
    given, activation = seen.inputs[name], seen.layer(last, network.probed[last]).flatten(1)
    if given.shape != activation.shape or not torch.allclose(given, activation, **_CLOSE):
        raise Refused(
            f"its last layer {last!r}, {activation.shape[1]} features, is not what feeds the readout {name!r}; "
            "name the readout's input last in 'probed', or name no readout"
        )


def _tied(network: nn.Module) -> str | None:
    """Another name of the readout's weight, or None."""
    if not hasattr(network, "readout"):
        return None
    weight = models.readout(network).weight
    names = [name for name, parameter in network.named_parameters(remove_duplicate=False) if parameter is weight]
    return next((name for name in names if name.rpartition(".")[0] != network.readout), None)


def _weights(network: nn.Module, image: torch.Tensor) -> dict[str, int]:
    """How many trained weights belong to each layer."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    try:
        found = weights_by_layer(network, image.clone())
    except Exception as error:
        raise Refused(f"its weights cannot be told apart by layer: {type(error).__name__}: {error}") from error
    return {part.layer: sum(sizes[name] for name in part.parameters) for part in found}


def _expect_whole_checkpoints(network: nn.Module, other: nn.Module, images: torch.Tensor) -> None:
    """The weights of one network make another one the same."""
    expected = network.state_dict()
    if expected.keys() != other.state_dict().keys():
        raise Refused("a forward pass adds to its weights; make them all in the factory, or use torch.nn.LazyLinear")
    other.load_state_dict(expected)
    if not torch.equal(_passed(network, images), _passed(other.eval(), images)):
        raise Refused(
            "it computes with something that is drawn by the seed and not in its state dict, so that no checkpoint "
            "holds it; register it as a parameter or a buffer"
        )


def _expect_training(network: nn.Module, images: torch.Tensor, n_classes: int) -> None:
    network.train()
    _expect_logits(_passed(network, images), len(images), n_classes, " in training mode")
    try:
        with torch.enable_grad():
            logits = network(images.clone())
            if not logits.requires_grad:
                raise Refused("its logits do not depend on its weights; look for detach() and torch.no_grad()")
            functional.cross_entropy(logits, torch.arange(len(images)) % n_classes).backward()
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"its backward pass fails: {type(error).__name__}: {error}") from error
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise Refused(f"the gradient of {name!r} is not finite before any training; draw smaller weights")


def fails_on_one(network: nn.Module, in_shape: tuple[int, int, int]) -> str | None:
    """Why ``network`` cannot train on a single example, or None. It stays as it is, but for its mode.

    Batch normalisation of vectors is the common reason: a single value has no variance.
    """
    device = next(network.parameters()).device
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    was = network.training
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
            network.train()(torch.zeros(1, *in_shape, device=device))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        network.train(was)
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    return None


def expect_batches(made: Callable[[], nn.Module], in_shape: tuple[int, int, int], n: int, batch_size: int) -> None:
    """Raise ``ValueError`` when the last batch of ``n`` examples is a single one that the network cannot train on.

    ``made`` gives the network, where it is needed at all.
    """
    if n % batch_size != 1 and batch_size != 1:
        return
    reason = fails_on_one(made(), in_shape)
    if reason is not None:
        near = [size for size in range(2, n + 1) if n % size != 1]
        near = sorted(sorted(near, key=lambda size: abs(size - batch_size))[:2])
        raise ValueError(
            f"training.batch_size: {batch_size} leaves a last batch of one of {n} examples, on which the network "
            f"cannot train ({reason}); nearest that do not: {', '.join(map(str, near)) or 'none'}"
        )


# ---- words and helpers ----


@contextmanager
def _hooked(network: nn.Module, keep: Callable[[str, tuple, Any], None]) -> Iterator[None]:
    def hook(name: str) -> Callable:
        return lambda _module, inputs, output: keep(name, inputs, output)

    hooks = [module.register_forward_hook(hook(name)) for name, module in network.named_modules()]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _examples_first(output: Any, examples: int) -> bool:
    usable = isinstance(output, torch.Tensor) and output.dtype == torch.float32 and output.dim() > 1
    return usable and len(output) == examples and output.numel() > 0


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    """What an output is, in words: ``a tuple of (2, 10), (2, 7)``."""
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with the keys {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        parts = [str(tuple(part.shape)) if isinstance(part, torch.Tensor) else type(part).__name__ for part in value]
        return f"a {type(value).__name__} of {', '.join(parts)}"
    return f"a {type(value).__name__}"
