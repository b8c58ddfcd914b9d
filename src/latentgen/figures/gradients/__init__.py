"""Figures of gradients of the two parts of the loss, on rightly and on wrongly labelled examples."""

from latentgen.caption import Caption
from latentgen.figure import Figure
from latentgen.papers import STEPHENSON

_MEANT = (
    "Gradients are those of the mean loss of a group of training examples by the weights of one layer, or of all "
    "(network), in evaluation mode. The loss has a label-dependent part, minus the given label's logit above the mean "
    "logit, and a label-independent part, the logarithm of the sum of exponentials of the logits above that mean; "
    "both add to the total.",
    "Unpermuted: examples whose given label is the true one; permuted: mislabelled ones, with their given labels. "
    "Unless layers are asked for, at most five are drawn, even over depth, the first and the last included.",
)
_BEST = (
    "Vertical line, or strip from the first to the last run: the measured epoch of the network's highest test "
    "accuracy, in each run: an oracle, chosen on test data.",
)
_FIGURE = {"tables": ("gradients", "history"), "analyses": ("gradients",), "needs": "`gradients`"}

FIGURES = (
    Figure(
        23,
        "Gradients over training",
        Caption(
            shown=(
                "Norms of gradients over the root of the number of parameters, over the epochs of training: of both "
                "parts of the loss, and of the total; and, in the lowest panels, norms over that on the unpermuted "
                "examples of the same run.",
                *_MEANT,
                "Selected: drawn for corruption, mislabelled or not.",
            ),
            scored=("Nothing is fitted or scored: gradients are by the weights that training left.",),
            chosen=_BEST,
        ),
        "latentgen.figures.gradients.panels:norms",
        rows={"gradients": [[("metric", "==", "norm_per_root_parameter")]]},
        counterpart=("the gradients", STEPHENSON),
        **_FIGURE,
    ),
    Figure(
        24,
        "Directions of gradients",
        Caption(
            shown=(
                "Cosine between the gradients on permuted and on unpermuted examples; cosine between the "
                "label-dependent and the label-independent part on the same examples, \N{MINUS SIGN}1 where they "
                "cancel; projections of both parts on the direction of the total gradient of all training examples, "
                "over the root of the number of parameters. The axis of projections is linear between the ticks "
                "beside zero and logarithmic beyond.",
                *_MEANT,
            ),
            scored=("Nothing is fitted or scored: gradients are by the weights that training left.",),
            chosen=_BEST,
            caveats=(
                "The direction that is projected on may turn from epoch to epoch. A group is a part of the total: by "
                "chance alone its projection is positive, by an amount that falls as one over the number of examples.",
            ),
        ),
        "latentgen.figures.gradients.panels:directions",
        rows={"gradients": [[("metric", "in", ["cosine_with_unpermuted", "cosine_with_independent", "projection"])]]},
        counterpart=("the gradients", STEPHENSON),
        **_FIGURE,
    ),
)
