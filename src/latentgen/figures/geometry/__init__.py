"""Figures of the geometry of class manifolds, and of how it goes with what probes find."""

from collections.abc import Mapping
from typing import Any

from latentgen.caption import Caption
from latentgen.figure import Figure
from latentgen.papers import STEPHENSON

_THEORY = ["capacity", "radius", "dimension"]
_FIGURE = {"tables": ("geometry", "history"), "analyses": ("geometry",)}
_VIEWS = (
    "Class manifolds are the examples of a class in one view. Unpermuted: training examples whose given label is the "
    "true one; permuted: mislabelled training examples, by the given label; restored: the same examples, by the true "
    "label; test: test examples, by the true label."
)
_NOTHING_FITTED = "Each view describes its own examples; nothing is fitted on some and scored on others."
_MEANT = (
    "Capacity is in classes per feature, radius in norms of what is left of the class's centre; both, and dimension, "
    "are of mean-field theory, after the axes that class centres share are removed. Radius and dimension are means "
    "over classes."
)
_BEST = (
    "Best epoch: the measured one of the network's highest test accuracy in each run, an oracle: chosen on test data."
)


def _of_layers(settings: Mapping[str, Any]) -> bool:
    layers = settings["geometry"]["layers"]
    return layers == "all" or isinstance(layers, list) and len(layers) > 1


FIGURES = (
    Figure(
        16,
        "Geometry by layer",
        Caption(
            shown=(
                "Mean-field capacity, radius and dimension of class manifolds, and correlation of class centres, on "
                "each layer, at the network's best epoch and at the last.",
                _VIEWS,
                _MEANT,
                "Centre correlation: mean absolute cosine between class centres before those axes are removed.",
            ),
            scored=(_NOTHING_FITTED,),
            chosen=(_BEST,),
        ),
        "latentgen.figures.geometry.layers:by_layers",
        of_entry=_of_layers,
        rows={"geometry": [[("metric", "in", [*_THEORY, "center_correlation"])]]},
        needs="`geometry` of several layers",
        counterpart=("Figure 3", STEPHENSON),
        **_FIGURE,
    ),
    Figure(
        17,
        "Geometry over training",
        Caption(
            shown=(
                "Mean-field capacity, radius and dimension of class manifolds over the epochs of training. Unless "
                "layers are asked for, they are at most five, even over depth, the last included; not the input, which "
                "training leaves as it is.",
                _VIEWS,
                _MEANT,
            ),
            scored=(_NOTHING_FITTED,),
            chosen=(f"Vertical line, or strip from the first to the last run: {_BEST[0].lower()}{_BEST[1:]}",),
        ),
        "latentgen.figures.geometry.layers:over_training",
        of_entry=_of_layers,
        rows={"geometry": [[("metric", "in", _THEORY)]]},
        needs="`geometry` of several layers",
        **_FIGURE,
    ),
    Figure(
        18,
        "Capacity, theory against measurement",
        Caption(
            shown=(
                "Capacity in classes per feature. Theory: mean-field capacity, after the axes that class centres share "
                "are removed. Measured: classes over the features of a random projection at which half of random "
                "dichotomies of the classes are linearly separable.",
                "Filled marks are measured with the same axes removed: the fair comparison. Hollow ones are measured "
                "with the axes kept, which the theory does not describe. A mark is a view at one layer and epoch of "
                "one run.",
                _VIEWS,
            ),
            scored=(_NOTHING_FITTED,),
        ),
        "latentgen.figures.geometry.capacity:draw",
        marks=None,
        tables=("geometry",),
        analyses=("geometry",),
        of_entry=lambda settings: settings["geometry"]["simulated"] is not None,
        rows={"geometry": [[("metric", "in", ["capacity", "simulated_capacity", "simulated_capacity_raw"])]]},
        needs="`geometry` with `simulated`",
    ),
    Figure(
        19,
        "Latent generalization against geometry",
        Caption(
            shown=(
                "What MASC finds on hidden layers, and how far that is above the network, against mean-field capacity "
                "at the same checkpoints. A mark is one epoch of one run (in the first column: and layer), its colour "
                "the epoch. Hollow in the columns of differences: before the network's best epoch, when the readout "
                "has yet to learn what the layers hold.",
                _VIEWS,
            ),
            scored=(
                "MASC is fitted on the given (noisy) labels of the training examples. MASC and network are scored on "
                "test examples (true labels). Capacities of the permuted and restored views take no test labels, but "
                "the true labels of the training set.",
            ),
            chosen=(
                "Best layer: of the hidden ones, at each epoch and in each run, an oracle: chosen on test data. So is "
                "the network's best measured epoch.",
            ),
            caveats=(
                "All of it changes over training: a correlation says what moves together within a run, not what would "
                "foretell another run.",
            ),
        ),
        "latentgen.figures.geometry.latent:draw",
        marks=None,
        tables=("geometry", "probes", "history"),
        analyses=("geometry",),
        probes=frozenset({"masc"}),
        rows={"geometry": [[("metric", "==", "capacity")]]},
        needs="`geometry` and a probe named `masc` in one entry",
    ),
)
