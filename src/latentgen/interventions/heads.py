"""Linear readouts made of class axes or class means, and the networks that carry them.

Ketha & Ramaswamy (TMLR 2026, arXiv 2603.19865) replace the rows of a network's last linear layer by the leading axes
v_k of the activations that feed it. With zero bias that is VeLPIC, up to the rounding of float32 logits. A new readout
on an inner layer, with the layers behind it left out, is this project's extension.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from latentgen import models
from latentgen.activations import LAST
from latentgen.activations.sources import Stream
from latentgen.interventions import readouts
from latentgen.probes import ClassMoments, VeLPIC
from latentgen.probes.means import class_means


class Variant(NamedTuple):
    """One way of making a readout, by the names of the table of weight transfer."""

    rows: str
    norm: str
    mix: float
    bias: str


#: The network's own readout as it is.
UNEDITED = Variant("none", "own", 0.0, "kept")

#: What was published: unit axes in place of the rows, the bias kept or set to zero.
PUBLISHED = tuple(Variant("axis", "unit", 1.0, bias) for bias in ("zero", "kept"))


def replacing(has_bias: bool) -> list[Variant]:
    """Variants of a network's own readout, unedited first; without a bias there is nothing to keep."""
    made = [("axis", "unit", 1.0), ("axis", "original", 1.0)]
    made += [("mean", norm, 1.0) for norm in ("own", "unit", "original")]
    made += [("axis", norm, mix) for norm in ("unit", "original") for mix in (0.25, 0.5, 0.75)]
    biases = ("zero", "kept") if has_bias else ("zero",)
    return [UNEDITED, *(Variant(*variant, bias) for bias in biases for variant in made)]


#: Variants of a new readout: there are no rows to be like, and no bias to keep.
NEW = (PUBLISHED[0], Variant("mean", "own", 1.0, "zero"), Variant("mean", "unit", 1.0, "zero"))


def class_rows(moments: ClassMoments, kind: str) -> torch.Tensor:
    """(C, d) float64 rows: ``axis``, VeLPIC's signed unit axes v_k, or ``mean``, the class means.

    A class without training examples, or with zero vectors alone, has a row of zeros. There a readout with zero bias
    and VeLPIC part: it scores the class 0, VeLPIC never chooses one that it has not seen.
    """
    if kind == "mean":
        return class_means(moments)
    axes = VeLPIC().fit_moments(moments).axes_
    return torch.stack([axis[:, 0] if axis.shape[1] else axis.new_zeros(len(axis)) for axis in axes])


def readout_of(
    variant: Variant, rows: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (C, d) and bias (C,), float32, of a variant.

    Parameters
    ----------
    rows : (C, d) float64, `class_rows` of the variant's kind
    weight, bias : those of the readout that is edited; None for a new one (and None for a readout without bias)
    """
    made = rows
    if variant.norm != "own":
        norms = rows.norm(dim=1, keepdim=True)
        wanted = weight.double().norm(dim=1, keepdim=True) if variant.norm == "original" else 1.0
        made = torch.where(norms > 0, rows / norms * wanted, 0.0)
    if variant.mix < 1:
        made = variant.mix * made + (1 - variant.mix) * weight.double()
    kept = bias if variant.bias == "kept" and bias is not None else made.new_zeros(len(made))
    return made.float(), kept.float()


class Truncated(nn.Module):
    """``model`` up to one of its probed layers, and a linear readout on that.

    ``readout`` : weight (C, d) and bias (C,)
    """

    def __init__(self, model: nn.Module, layer: str, readout: tuple[torch.Tensor, torch.Tensor]):
        super().__init__()
        self.model = model
        self.readout = _linear(*readout)
        # Its name, not the module: that would be a submodule twice, and its weights would be saved twice.
        self.last = model.probed[layer]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (b, C) of images; what lies behind the layer is not computed."""
        hook = self.model.get_submodule(self.last).register_forward_hook(_stop)
        try:
            self.model(x)
        except _Reached as reached:
            return self.readout(reached.output.flatten(1))
        finally:
            hook.remove()
        raise RuntimeError("the forward pass of the model does not reach the layer")


class _Reached(Exception):
    def __init__(self, output: torch.Tensor):
        self.output = output


def _stop(_module, _inputs, output):
    raise _Reached(output)


def edited(model: nn.Module, layer: str, variant: Variant, rows: torch.Tensor) -> nn.Module:
    """``model`` with its readout replaced (``layer`` is "last"; changed in place), or `Truncated` after ``layer``.

    Raises ``ValueError`` when the readout cannot take the new rows.
    """
    if layer != LAST:
        device = next(model.parameters()).device
        return Truncated(model, layer, readout_of(variant, rows, None, None)).to(device)
    head = models.readout(model)
    readouts.give(model, *readout_of(variant, rows, head.weight, head.bias))
    return model


@torch.no_grad()
def expect_to_feed(source: Stream, layer: str) -> None:
    """Raise ``ValueError`` when the model names no readout, or its last probed ``layer`` is not what feeds it.

    Or when the readout computes something else of it than its weight and bias say.
    """
    readout = models.readout(source.model)
    rows, parts = next(source.chunks("test", [layer]))
    features = parts[layer]
    logits = source.model(source.pixels["test"].batch(rows))
    if features.shape[1] != readout.in_features or not torch.allclose(readout(features), logits, rtol=1e-3, atol=1e-3):
        raise ValueError(
            f"the last probed layer {layer!r} is not what feeds the readout {source.model.readout!r}; "
            "name the readout's input last in the model's attribute 'probed'"
        )
    if not readouts.computes(readout, readout.weight, readout.bias):
        raise ValueError(
            f"the readout {source.model.readout!r} ({type(readout).__name__}) computes something else than its weight "
            "and bias say, so that replacing these would not be an edit of the network; let it be a plain "
            "torch.nn.Linear, or leave out the interventions 'transfer' and 'edit'"
        )


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    classes, features = weight.shape
    linear = nn.Linear(features, classes)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear


def named_layer(layer: str, layers: Sequence[str]) -> str:
    """The layer's name, that of the last one for "last"; raises ``ValueError`` when there is no such layer."""
    if layer != LAST and layer not in layers:
        raise ValueError(f"interventions name the layer {layer!r}; the model has {', '.join(layers)}, or say 'last'")
    return layers[-1] if layer == LAST else layer
