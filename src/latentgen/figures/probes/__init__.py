"""Figures of what probes find: over training, at the end, and beside early stopping."""

from latentgen.caption import Caption
from latentgen.figure import Figure
from latentgen.papers import KETHA
from latentgen.probes import compared

_FITTED = (
    "Probes are fitted on each layer with the given (noisy) labels of the training examples, and scored on test "
    "examples (true labels)."
)
_READ = "A line is a layer, dark to light with depth. Narrow panels are controls: levels 0 and 1."


def _over_training(number: int, function: str, title: str, *shown: str, probes: tuple[str, ...]) -> Figure:
    return Figure(
        number,
        title,
        Caption(shown=(*shown, _READ), scored=(_FITTED,)),
        f"latentgen.figures.probes.curves:{function}",
        probes=frozenset(probes),
        counterpart=(f"Figure {number}", KETHA),
        analyses=("probes",),
        paired=len(probes) > 1,
        needs=" and ".join(f"`{probe}`" for probe in probes),
    )


_DIFFERENCE = (
    "The input, which training leaves as it is, does not set the scale; where its line leaves a panel, its mean over "
    "the epochs is written at the edge."
)

FIGURES = (
    _over_training(
        1,
        "masc",
        "MASC over training",
        "Test accuracy of MASC, the minimum angle subspace classifier, on each layer over the epochs of training.",
        probes=("masc",),
    ),
    _over_training(
        2,
        "velpic",
        "VeLPIC over training",
        "Test accuracy of VeLPIC, the vector linear probe, on each layer over the epochs of training: one signed unit "
        "axis for each class, and the class of the largest projection.",
        probes=("velpic",),
    ),
    _over_training(
        3,
        "velpic_minus_masc",
        "VeLPIC minus MASC",
        "Test accuracy of VeLPIC minus that of MASC on each layer over the epochs of training, in percentage points. "
        "Above zero, one axis per class and a linear rule beat the subspaces.",
        _DIFFERENCE,
        probes=("masc", "velpic"),
    ),
    _over_training(
        4,
        "logistic",
        "Logistic regression over training",
        "Test accuracy of multinomial logistic regression on each layer over the epochs of training.",
        probes=("logistic",),
    ),
    _over_training(
        5,
        "masc_minus_logistic",
        "MASC minus logistic regression",
        "Test accuracy of MASC minus that of logistic regression on each layer over the epochs of training, in "
        "percentage points. Above zero, MASC is the more accurate.",
        _DIFFERENCE,
        probes=("masc", "logistic"),
    ),
    Figure(
        10,
        "All probes at the end of training",
        Caption(
            shown=(
                "Test accuracy in % of every probe that was run (rows) on every layer (columns) at the end of "
                "training. All panels share one colour scale.",
                "The best probe and layer of a panel, of those fitted on given labels, is framed. The two lowest rows "
                "are the network itself, at the end and at its best epoch.",
            ),
            scored=(_FITTED,),
            chosen=(
                "The network's best epoch is found on test data in each run: an oracle. So is the framed cell: the "
                "highest mean of the panel.",
            ),
        ),
        "latentgen.figures.probes.endings:all_probes",
        marks=None,
        needs="any probe",
    ),
    Figure(
        11,
        "MASC by the variance kept",
        Caption(
            shown=(
                "MASC that keeps, for each class, the fewest leading axes that hold a given part of the variance, or "
                "a given number of axes, on each layer at the end of training. Upper panels: test accuracy; lower "
                "panels: the axes kept, mean over classes and runs, on a logarithmic axis, without interval. Settings "
                "that keep the same axes coincide.",
            ),
            scored=(_FITTED,),
            chosen=("The network's best epoch is found on test data in each run: an oracle.",),
        ),
        "latentgen.figures.probes.thresholds:draw",
        of_entry=lambda settings: len(compared.thresholds(settings["probes"])) > 1,
        needs="two MASC probes that keep different shares",
    ),
    Figure(
        14,
        "Batch normalisation while features are read",
        Caption(
            shown=(
                "Probes on features whose batch normalisation uses running statistics, as in evaluation (solid), or "
                "those of each example alone, as in training mode at batch size 1 (dashed), on each layer over the "
                "epochs of training. Lower panels: the difference, each example's own minus running, in percentage "
                "points.",
            ),
            scored=("Probes are fitted and scored in the same mode. Scores are on test examples (true labels).",),
        ),
        "latentgen.figures.probes.batch_norm:draw",
        paired=True,
        of_entry=lambda settings: bool(compared.mode_pairs(settings["probes"])),
        needs="two probes that differ in `batch_norm`",
    ),
    Figure(
        15,
        "Early stopping compared with probes and interventions",
        Caption(
            shown=(
                "Test accuracy of the network, of every probe and of every intervention minus that of early stopping, "
                "in percentage points; the line at 0 is early stopping, and grey is above it. Over each panel stand "
                "the accuracies of the network stopped early (oracle) and at the end.",
                "Filled dots: nothing is chosen (the last layer at the end of training). Hollow marks: an oracle "
                "choice, compared with early stopping that is an oracle too. Triangles: chosen on held-out noisy "
                "labels, compared with early stopping on the same labels.",
                "The highest filled and the highest hollow mark of a panel have their values at the right end of "
                "their lines.",
            ),
            scored=(
                "Probes are fitted on the given (noisy) labels of the training examples; labels in brackets are those "
                "that a probe was fitted on instead. All is scored on test examples (true labels).",
            ),
            chosen=(
                "Oracle choices are made on test data: the best epoch in each run, the best layer once for each grid "
                "point, and of rewound networks layer and epoch in each run. Networks are measured after every epoch, "
                "probes and transfer at saved ones.",
            ),
        ),
        "latentgen.figures.probes.stopping:draw",
        marks=None,
        also=("transfer", "edit", "relabel", "rewind"),
        needs="any probe",
    ),
)
