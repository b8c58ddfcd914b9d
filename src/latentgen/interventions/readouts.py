"""A network's own readout, given other rows: also where its weight is computed from other parameters.

Such are parametrizations (`torch.nn.utils.parametrize`, weight and spectral normalisation among them), the older
`torch.nn.utils.weight_norm` and `spectral_norm`, and pruning, which compute the weight before every call. Whatever a
readout is, it is asked afterwards what it computes.
"""

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.weight_norm import WeightNorm

from latentgen import models

#: Inputs on which a readout is compared with its rows.
TRIALS = 8


@torch.no_grad()
def give(model: nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Let the readout of ``model`` compute ``weight`` x + ``bias``, which is dropped where the readout has none.

    Parameters
    ----------
    weight, bias : (C, d) and (C,) float32

    Raises
    ------
    ValueError
        The readout computes something else afterwards, or shares a parameter with another submodule.
    """
    head = models.readout(model)
    _expect_own(model, head)
    named = {"weight": weight} if head.bias is None else {"weight": weight, "bias": bias}
    try:
        for name, value in named.items():
            _set(head, name, value.to(next(head.parameters())))
        given = computes(head, weight, None if head.bias is None else bias)
    except (NotImplementedError, RuntimeError, ValueError) as error:  # no inverse, or not of these rows
        raise ValueError(_refused(model, head)) from error
    if not given:
        raise ValueError(_refused(model, head))


@torch.no_grad()
def computes(head: nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Whether ``head`` gives ``weight`` x + ``bias`` up to rounding, found by calling it."""
    inputs = torch.randn(TRIALS, head.in_features, generator=torch.Generator().manual_seed(0)).to(weight)
    inputs[0] = 0
    found, expected = head(inputs), nn.functional.linear(inputs, weight, bias)
    # An entry of a sum of d products is known to the size of these, not to its own, which may be small.
    size = weight.norm() + (0 if bias is None else bias.norm())
    return bool(found.shape == expected.shape and (found - expected).norm() <= 1e-3 * size)


def _set(head: nn.Linear, name: str, value: torch.Tensor) -> None:
    if parametrize.is_parametrized(head, name):
        setattr(head, name, value)  # goes through the inverse of the parametrization
        return
    if name in head._parameters:
        getattr(head, name).copy_(value)
        return
    for hook in head._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            getattr(head, f"{name}_v").copy_(value)
            getattr(head, f"{name}_g").copy_(torch.norm_except_dim(value, 2, hook.dim))
            return
    # Where older spectral normalisation and pruning keep what they compute from.
    original = head._parameters.get(f"{name}_orig")
    if original is None:
        raise ValueError(f"no parameter that {name!r} is computed from")
    original.copy_(value)


def _expect_own(model: nn.Module, head: nn.Linear) -> None:
    own = {id(parameter) for parameter in head.parameters()}
    for name, module in model.named_modules():
        inside = name == model.readout or name.startswith(f"{model.readout}.")
        if not inside and any(id(parameter) in own for parameter in module.parameters(recurse=False)):
            raise ValueError(
                f"the readout {model.readout!r} shares a parameter with the submodule {name!r}, which an edit would "
                "change too; give the readout parameters of its own, or leave out the intervention 'edit'"
            )


def _refused(model: nn.Module, head: nn.Linear) -> str:
    hooks = [type(hook).__name__ for hook in head._forward_pre_hooks.values()]
    if parametrize.is_parametrized(head):
        hooks += [type(part).__name__.lstrip("_") for parts in head.parametrizations.values() for part in parts]
    how = f" ({', '.join(hooks)})" if hooks else f" ({type(head).__name__})"
    return (
        f"the readout {model.readout!r} does not compute what an edit writes into it: its output depends on more than "
        f"its weight and bias{how}; let the model's readout be a plain torch.nn.Linear, or leave out the intervention "
        "'edit'"
    )
