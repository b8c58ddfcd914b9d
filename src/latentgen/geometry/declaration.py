"""Geometry of class manifolds as an analysis, with its settings. Imports nothing that computes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latentgen.analysis import Analysis, Cost
from latentgen.columns import DEPTH, EPOCH, FLOAT, INPUTS, INTEGER, TEXT, Column, Table
from latentgen.keys import LAYERS, Key, integer, several

#: What stands for the last epoch that a run reaches, and for the layer that feeds the readout.
LAST = "last"

SIMULATED = (
    Key(
        "epochs",
        [LAST],
        "saved epochs, or `last`, the one at which training ends",
        several({"anyOf": [{"type": "integer", "minimum": 0}, {"const": LAST}]}),
    ),
    Key(
        "layers",
        LAST,
        "`last` (the layer that feeds the readout), `all`, or a list of names, `input` and `output` included",
        LAYERS,
    ),
    Key("dichotomies", 100, "random dichotomies", integer(10, 1_000_000)),
)

KEYS = (
    Key(
        "points",
        50,
        "examples of a class, M; fewer in all views where a class of some view has fewer, because capacity depends on "
        "M",
        integer(2),
    ),
    Key(
        "directions",
        300,
        "Gaussian directions for each manifold. The standard error of a capacity falls with their square root",
        integer(2, 1_000_000),
    ),
    Key(
        "kappa",
        0.0,
        "margin, in units of the norm of what is left of each class's centre",
        {"type": "number", "minimum": 0},
    ),
    Key(
        "restarts",
        10,
        "of the search for the axes that centres share. How far results differ between them is in the table",
        integer(1, 10_000),
    ),
    Key(
        "features",
        5000,
        "wider layers are projected at random to so many. `null` keeps all: exact, and cheaper while classes × "
        "`points` is below 5,000",
        integer(2, null=True),
    ),
    Key(
        "layers",
        "all",
        "layers that are analysed: `all`, `last` (the one that feeds the readout), or a list of names, `input` and "
        "`output` included",
        LAYERS,
    ),
    Key(
        "simulated",
        None,
        "capacity that is measured with random dichotomies, beside theory; `null`: none",
        keys=SIMULATED,
    ),
)

TABLE = Table(
    "geometry",
    "Geometry of the class manifolds of one layer at one checkpoint, in one view. In a view each class is a manifold "
    "of `points` examples, drawn once for a data seed and the same at every epoch and layer.",
    (
        EPOCH,
        Column("layer", TEXT, "as in the table of probes, and the layer `output`, the logits"),
        DEPTH,
        Column(
            "view",
            TEXT,
            "`unpermuted`: training examples whose label is right; `permuted`: the mislabelled ones, grouped by the "
            "label they were given; `restored`: mislabelled ones too, by their true label; `test`: test examples by "
            "true label",
        ),
        Column("kappa", FLOAT, "margin, where the metric depends on it"),
        Column("metric", TEXT, "see below"),
        Column(
            "value",
            FLOAT,
            "null where the view is empty (`n` is 0), or where the metric is undefined (`n` above 0): classes whose "
            "centres coincide, activations that are not finite, too few features for half of the dichotomies, or "
            "`separability` that would take minutes to decide",
        ),
        Column(
            "error",
            FLOAT,
            "standard error over the random directions (`capacity`) or dichotomies (`simulated_…`; null where these "
            "leave it open whether half can be separated at all)",
        ),
        Column(
            "spread",
            FLOAT,
            "largest minus smallest value over the restarts of the search for centre axes (`capacity`, `radius`, "
            "`dimension`)",
        ),
        Column("n", INTEGER, "examples of all classes"),
        Column("classes", INTEGER, "manifolds P"),
        Column(
            "points",
            INTEGER,
            "examples of each manifold, M: the smaller of the configured number and the smallest class over the views "
            "that are not empty",
        ),
        Column(
            "unstructured", FLOAT, "2 / M, the capacity of points without structure, in layers of M features or more"
        ),
        INPUTS,
    ),
    {
        "metric": {
            "capacity": "mean-field capacity: classes for each feature that a linear readout can tell apart under "
            "random labels of classes; harmonic mean over classes",
            "radius": "R_M, in units of the norm of what is left of a class's centre; mean over classes",
            "dimension": "D_M, mean over classes",
            "center_correlation": "mean absolute cosine between class centres, before axes are removed",
            "center_axes": "axes that centres share and that were removed",
            "simulated_capacity": "classes for each feature at which half of random dichotomies are linearly "
            "separable, measured; the same centre axes removed",
            "simulated_capacity_raw": "the same with them",
            "participation_ratio": "of the covariance of all points: (sum of variances)² / sum of squared ones",
            "axes_90": "axes that hold 90 % of the variance of all points",
            "class_participation_ratio": "the participation ratio of a class's own covariance, mean over classes",
            "within_distance": "mean distance of a class's points to their mean, in units of the activations",
            "center_distance": "mean distance between class means, in units of the activations",
            "separability": "fraction of the dichotomies of one class against the others that a hyperplane with a "
            "bias separates; 1 for whatever classes where there are at least as many features as points; null where "
            "deciding would take minutes: k dichotomies that no quick proof decides, of n points in d features, with "
            "k n min(n, d)² above 10¹¹ (for 5,000 points more than 76 in 512 features, 2 in 3,072)",
            "intrinsic_dimension": "of all points, from the distances to their two nearest neighbours",
        }
    },
)


def methods(settings: Mapping[str, Any]) -> list[str]:
    """Methods that these settings need, out of `latentgen.geometry.VERSIONS`."""
    return ["mean field", *(["simulated"] if settings["simulated"] is not None else [])]


def _errors(settings: Mapping[str, Any], _entry: Mapping[str, Any], saved: set[int]) -> Iterable[str]:
    for epoch in settings["simulated"]["epochs"] if settings["simulated"] else ():
        if epoch != LAST and epoch not in saved:
            yield f".simulated.epochs: {epoch} is no saved epoch; add it to saved_epochs, or say {LAST!r}"


def _named_layers(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    named = {"layers": settings["layers"], "simulated.layers": (settings["simulated"] or {}).get("layers")}
    return {key: layers for key, layers in named.items() if isinstance(layers, list)}


def _units(settings: Mapping[str, Any], runs: int, epochs: Sequence[int], last: int) -> dict[str, int]:
    units = {"fixed": runs, "each": runs * len(epochs)}
    if settings["simulated"]:
        wanted = {last if epoch == LAST else epoch for epoch in settings["simulated"]["epochs"]}
        units["simulated"] = runs * len(wanted & set(epochs))
    return units


GEOMETRY = Analysis(
    name="geometry",
    about="geometry of the class manifolds at every saved epoch",
    table=TABLE,
    files="geometry/{block}.parquet",
    rows="latentgen.geometry.blocks:geometry_block",
    keys=KEYS,
    kept=True,
    packages=("geometry", "activations", "models"),
    methods=lambda settings, _: {"geometry": methods(settings)},
    errors=_errors,
    layers=_named_layers,
    cost=Cost(_units, "latentgen.geometry.cost:measure"),
)
