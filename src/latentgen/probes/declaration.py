"""Probes as an analysis. Imports nothing that computes."""

from collections.abc import Iterable, Mapping
from typing import Any

from latentgen.analysis import Analysis
from latentgen.columns import DEPTH, EPOCH, FLOAT, INTEGER, LAYER, TEXT, VALUE, Column, Table
from latentgen.keys import NAME
from latentgen.probes import kinds

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
)
