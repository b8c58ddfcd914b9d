"""Figures of training examples in two dimensions."""

from latentgen.caption import Caption
from latentgen.figure import Figure
from latentgen.papers import STEPHENSON

FIGURES = (
    Figure(
        26,
        "Embeddings",
        Caption(
            shown=(
                "Training examples as one layer has them, in two dimensions, at several epochs. The three panels of a "
                "row hold the same points; labels have no part in where they lie. Coloured are: unpermuted, examples "
                "whose given label is the true one, by that label; permuted, mislabelled examples, by the given "
                "label; restored, the same ones, by the true label. Light grey: the others.",
                "Each epoch's embedding is rotated, reflected and shifted onto the one before. Axes have no unit; each "
                "row has limits of its own.",
            ),
            scored=("Embeddings are fitted on activations alone. Nothing is scored but trustworthiness.",),
            chosen=(
                "Best: the highest test accuracy of the network among epochs with embeddings: an oracle. Other epochs "
                "are spread evenly over the logarithm.",
            ),
            caveats=(
                "An embedding is of one run: an illustration without interval.",
                "Examples are drawn so that half are mislabelled where there are as many; the training set has another "
                "share.",
            ),
        ),
        "latentgen.figures.embeddings.scatter:draw",
        marks=None,
        tables=("embeddings", "history"),
        analyses=("embeddings",),
        needs="`embeddings`",
        counterpart=("the two-dimensional embeddings", STEPHENSON),
    ),
)
