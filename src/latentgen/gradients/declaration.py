"""Gradients as an analysis. Imports nothing that computes."""

from latentgen.analysis import Analysis
from latentgen.columns import INPUTS, INTEGER, TEXT, VALUE, Column, Table

TABLE = Table(
    "gradients",
    "Gradients of the mean loss of a group of training examples with respect to the weights of one layer, exact over "
    "the whole group.",
    (
        Column("epoch", INTEGER, "checkpoint"),
        Column(
            "layer",
            TEXT,
            "layer whose weights are meant, `output` included; layers without weights have no rows. `network` is all "
            "of them together",
        ),
        Column("depth", INTEGER, "its place in the model; null for `network`"),
        Column("parameters", INTEGER, "trained weights of the layer"),
        Column(
            "group",
            TEXT,
            "`unpermuted`: training examples whose given label is right; `permuted`: the mislabelled ones; `selected`: "
            "those drawn for corruption, some of which keep their label; `all`",
        ),
        Column(
            "part",
            TEXT,
            "`total`: of the loss; `label`: of −z_y; `independent`: of log Σ exp z; `label_centered`, "
            "`independent_centered`: of both with the mean logit added to the one and taken from the other, so that "
            "the label e_y becomes e_y − 1/C. Either pair adds up to the total",
        ),
        Column("metric", TEXT, "see below"),
        Column(VALUE.name, VALUE.type, "null where a gradient it divides by vanishes, or the group is empty"),
        Column("n", INTEGER, "examples of the group"),
        INPUTS,
    ),
    {
        "metric": {
            "norm": "Euclidean norm",
            "norm_per_root_parameter": "the norm divided by the square root of `parameters`",
            "projection": "inner product with the unit vector of the layer's total gradient over all training examples",
            "cosine_with_unpermuted": "cosine with the same part of the unpermuted examples",
            "cosine_with_independent": "cosine of a label-dependent part with its label-independent counterpart, of "
            "the same group",
        }
    },
)

GRADIENTS = Analysis(
    name="gradients",
    about="gradients of each layer on right and on wrong labels, split in two parts, at every saved epoch",
    table=TABLE,
    files="gradients/{block}.parquet",
    rows="latentgen.gradients.blocks:gradients_block",
    kept=True,
    packages=("gradients", "activations", "models"),
)
