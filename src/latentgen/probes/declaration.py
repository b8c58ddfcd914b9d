"""Probes as an analysis. Imports nothing that computes."""

from collections.abc import Iterable, Mapping
from typing import Any

from latentgen.analysis import Analysis
from latentgen.columns import DEPTH, EPOCH, FLOAT, INTEGER, LAYER, TEXT, VALUE, Column, Table
from latentgen.figure import Figure
from latentgen.keys import NAME
from latentgen.papers import KETHA
from latentgen.probes import kinds
from latentgen.probes.compared import mode_pairs, thresholds

TABLE = Table(
    "probes",
    "Scores of one probe on one layer at one checkpoint.",
    (
        EPOCH,
        LAYER,
        DEPTH,
        Column("probe", TEXT, "name of the probe in the configuration"),
        Column(
            "batch_norm",
            TEXT,
            "batch normalisation while features were read: `running` statistics, or those of each `example` alone",
        ),
        Column(
            "fit_labels",
            TEXT,
            "labels of the training examples that it was fitted on: `given`, `true`, or a noise kind and level such as "
            "`uniform-0.6`, resampled for the run's data seed",
        ),
        Column("split", TEXT, "scored on `train`, `validation` or `test` examples"),
        Column("labels", TEXT, "scored against their `given` or `true` labels, or `fit`: those resampled labels"),
        Column("metric", TEXT, "`accuracy`"),
        VALUE,
        Column("n", INTEGER, "scored examples"),
        Column("rank", FLOAT, "mean number of axes over classes; null where the probe has none"),
        Column(
            "margin",
            FLOAT,
            "mean over scored examples of the scored label's score minus the best other score (cos² of the angle for "
            "MASC, projection for VeLPIC, logit for logistic regression)",
        ),
        Column(
            "inputs",
            TEXT,
            "hash of all that the row was computed from: run, weights, data, labels, the probe's settings, versions "
            "of the code",
        ),
    ),
)


def complete(probes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Probes by name, with defaults filled in."""
    return {name: kinds.complete(probe) for name, probe in probes.items()}


def families(probes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Probes by the family that shares a job: family → name → settings of the probe."""
    found: dict[str, dict[str, dict]] = {}
    for name, probe in probes.items():
        found.setdefault(probe["family"], {})[name] = {key: value for key, value in probe.items() if key != "family"}
    return found


def _errors(probes: Mapping[str, Mapping[str, Any]], *_) -> Iterable[str]:
    if not probes:
        yield ": no probe is left; name at least one"
    for name, probe in probes.items():
        yield from (f".{name}{error}" for error in kinds.errors(probe))


def _over_training(number: int, title: str, caption: str, *probes: str) -> Figure:
    needed, counterpart = frozenset(probes), (f"Figure {number}", KETHA)
    return Figure(
        number, title, caption, "latentgen.figures.curves", probes=needed, counterpart=counterpart, analyses=("probes",)
    )


PROBES = Analysis(
    name="probes",
    about="probes by the name that tables and figures use",
    table=TABLE,
    files="probes/{family}/{block}.parquet",
    rows="latentgen.probes.blocks:probe_block",
    values={
        "type": "object",
        "propertyNames": NAME,
        "additionalProperties": {
            "anyOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "required": ["kind"],
                    "properties": {
                        "kind": {"type": "string"},
                        "family": {"description": "probes of one family share a job", **NAME},
                    },
                },
            ]
        },
    },
    fill=complete,
    kept=True,
    packages=("probes", "activations", "models", "noise"),
    methods=lambda family, _: {"probes": [probe["kind"] for probe in family.values()]},
    inputs=("dumps",),
    told=("needed",),
    errors=_errors,
    rule="fit_probes",
    figures=(
        _over_training(
            1,
            "MASC over training",
            "**Test accuracy of MASC**, the minimum angle subspace classifier, on each layer over the epochs of "
            "training.",
            "masc",
        ),
        _over_training(
            2,
            "VeLPIC over training",
            "**Test accuracy of VeLPIC**, the vector linear probe, on each layer over the epochs of training.",
            "velpic",
        ),
        _over_training(
            3,
            "VeLPIC minus MASC",
            "**VeLPIC minus MASC**: difference of their test accuracies on each layer over the epochs of training, in "
            "percentage points. Above zero, one axis per class and a linear rule beat the subspaces.",
            "masc",
            "velpic",
        ),
        _over_training(
            4,
            "Logistic regression over training",
            "**Test accuracy of multinomial logistic regression** on each layer over the epochs of training.",
            "logistic",
        ),
        _over_training(
            5,
            "MASC minus logistic regression",
            "**MASC minus logistic regression**: difference of their test accuracies on each layer over the epochs of "
            "training, in percentage points. Above zero, MASC finds generalization that a linear classifier fitted on "
            "the same labels does not.",
            "masc",
            "logistic",
        ),
        Figure(
            10,
            "All probes at the end of training",
            "**All probes at the end of training**, on each layer.",
            "latentgen.figures.endings",
        ),
        Figure(
            11,
            "MASC by the variance kept",
            "**MASC by the variance kept**: subspaces from one axis for each class to nearly all of its variance, at "
            "the end of training, on each layer.",
            "latentgen.figures.endings",
            of_entry=lambda settings: len(thresholds(settings["probes"])) > 1,
        ),
        Figure(
            14,
            "Batch normalisation while features are read",
            "**Batch normalisation while features are read**: by running statistics, as in evaluation, or by each "
            "example's own, as in training mode at batch size 1.",
            "latentgen.figures.comparisons",
            of_entry=lambda settings: bool(mode_pairs(settings["probes"])),
        ),
        Figure(
            15,
            "Early stopping beside probes and interventions",
            "**Early stopping beside every probe and intervention**: what the network had at its best epoch, and what "
            "each of them gives at the end and at its best.",
            "latentgen.figures.stopping",
            also=("transfer", "edit", "relabel", "rewind"),
        ),
    ),
)
