"""Figures of networks whose weights are changed: transfer, edits, rewinding."""

from latentgen.caption import Caption
from latentgen.figure import Figure
from latentgen.papers import KETHA, STEPHENSON

_ACCURACY = ("metric", "==", "accuracy")
_TEST, _GIVEN, _TRUE = (
    [("split", "==", split), ("labels", "==", labels), _ACCURACY]
    for split, labels in (("test", "true"), ("train", "given"), ("train", "true"))
)
_ON_TEST = ("view", "==", "test")
_REWIND = {"tables": ("rewind", "history"), "analyses": ("rewind",), "needs": "`rewind`"}
_PUT_BACK = (
    "Weights of some layers of the final network are put back to a saved epoch: a single layer, the first layers up "
    "to the one named, or the last layers from the one named on. Rows or lines are layers, the input side at the top."
)
_MAP = (
    "Columns are saved epochs in equal steps: 0 is the initialisation, the last is the network as it is. Beyond the "
    "white line all layers are put back: that is early stopping, and no candidate for the ring."
)
_RING = (
    "Ring: the highest mean test accuracy of a heat map, one choice for all runs; early stopping: the best saved "
    "epoch of each run. Both are oracles, chosen on test data."
)
_MORE_CANDIDATES = (
    "Rewinding chooses among layers and epochs, early stopping among epochs alone, so that rewinding gains more by "
    "chance."
)

FIGURES = (
    Figure(
        6,
        "Weight transfer",
        Caption(
            shown=(
                "Networks whose readout, their last linear layer, is replaced at every saved epoch, without further "
                "training. Rows: test examples; training examples against the given (noisy) labels, which shows how "
                "much of what was memorised remains; the same against the true labels.",
                "Axes: the unit vectors of VeLPIC on the layer that the readout reads; with zero bias the network then "
                "classifies as VeLPIC does on that layer.",
            ),
            scored=(
                "Axes and class means are fitted with the given (noisy) labels of the training examples. Each row says "
                "what is scored.",
            ),
        ),
        "latentgen.figures.interventions.transfer:draw",
        tables=("transfer", "history"),
        analyses=("transfer",),
        rows={"transfer": [_TEST, _GIVEN, _TRUE]},
        needs="`transfer`",
        counterpart=("the experiment on weight transfer", KETHA),
    ),
    Figure(
        9,
        "Training continued after an edit",
        Caption(
            shown=(
                "Networks whose readout is replaced in mid-training (rings) by the axes of VeLPIC, and then trained on "
                "with a fresh optimiser state; the control starts the optimiser afresh and replaces nothing. Upper "
                "panels: test accuracy after each epoch. Lower panels: training accuracy against the given (noisy) "
                "labels, counted while each epoch trained on them.",
            ),
            scored=(
                "Axes are fitted with the given (noisy) labels of the training examples. Test examples are scored "
                "against true labels.",
            ),
        ),
        "latentgen.figures.interventions.edit:draw",
        tables=("edit", "history"),
        analyses=("edit",),
        needs="`edit`",
        counterpart=("the experiment on edits in mid-training", KETHA),
    ),
    Figure(
        20,
        "Rewinding, layer by epoch",
        Caption(
            shown=(_PUT_BACK, _MAP),
            scored=("Nothing is fitted. Accuracy is on test examples (true labels).",),
            chosen=(_RING,),
            caveats=(_MORE_CANDIDATES,),
        ),
        "latentgen.figures.interventions.heat_maps:by_kind",
        marks=None,
        rows={"rewind": [[_ON_TEST]]},
        counterpart=("the rewinding experiment", STEPHENSON),
        **_REWIND,
    ),
    Figure(
        21,
        "Rewinding in the four views",
        Caption(
            shown=(
                "Weights of the last layers of the final network, from the one named on, are put back to a saved "
                "epoch. Rows are layers, the input side at the top. Layers from the input side (top) to the output.",
                "Test: test examples by true labels; unpermuted: training examples whose given label is the true one; "
                "restored: mislabelled training examples by their true label. In these three views high is good. "
                "Permuted: mislabelled training examples by their given label, where high means memorised; it has a "
                "colour scale of its own.",
                _MAP,
            ),
            scored=("Nothing is fitted. Each panel says which examples are scored.",),
            chosen=(_RING, "Rings are where the heat map of test examples is highest, in all views."),
            caveats=(_MORE_CANDIDATES,),
        ),
        "latentgen.figures.interventions.heat_maps:by_view",
        marks=None,
        rows={
            "rewind": [[("kind", "==", "suffix"), ("view", "!=", "validation")], [("kind", "==", "prefix"), _ON_TEST]]
        },
        counterpart=("the rewinding experiment", STEPHENSON),
        **_REWIND,
    ),
    Figure(
        22,
        "Rewinding compared with early stopping",
        Caption(
            shown=(
                _PUT_BACK,
                "A mark is a layer at the best saved epoch. All layers put back are early stopping, which is a line.",
            ),
            scored=("Rewinding fits nothing. Accuracy is on test examples (true labels).",),
            chosen=(
                "Hollow: the epoch is found in each run on test data (an oracle), the last epoch, at which nothing is "
                "put back, included. Early stopping chooses among the same epochs, on the same examples.",
            ),
            caveats=(_MORE_CANDIDATES,),
        ),
        "latentgen.figures.interventions.best:draw",
        marks=("bars", "ticks"),
        also=("transfer",),
        rows={"rewind": [[("view", "in", ["test", "validation"])]], "transfer": [_TEST]},
        **_REWIND,
    ),
)
