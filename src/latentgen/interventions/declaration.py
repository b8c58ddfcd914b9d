"""Interventions as analyses, with their settings. Imports nothing that computes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latentgen.activations import INPUT, LAST
from latentgen.analysis import Again, Analysis, Cost
from latentgen.columns import DEPTH, FLOAT, INPUTS, INTEGER, MEASURED, TEXT, VALUE, Column, Table
from latentgen.keys import NAME, Key, integer, several
from latentgen.spelling import allowed

# Transfer

_SCORED = (
    Column("split", TEXT, "scored on `train`, `validation` or `test` examples"),
    Column("labels", TEXT, "scored against their `given` or `true` labels"),
    Column("metric", TEXT, "`accuracy`"),
    VALUE,
    Column("n", INTEGER, "scored examples"),
)

TRANSFER = Analysis(
    name="transfer",
    about="the readout replaced by axes or means of the classes, at every saved epoch",
    table=Table(
        "transfer",
        "Accuracies of networks with an edited linear readout, at saved epochs, without further training. The new "
        "rows are fitted on the given labels of the training examples.",
        (
            Column("epoch", INTEGER, "checkpoint that was edited"),
            Column("layer", TEXT, "layer that the readout reads"),
            DEPTH,
            Column(
                "head",
                TEXT,
                "`replaced`: the network's own readout; `new`: put on that layer, with no bias, the layers behind "
                "left out",
            ),
            Column(
                "rows",
                TEXT,
                "rows of the readout: `axis`, VeLPIC's signed unit axes; `mean`, class means; `none`, the network as "
                "it is",
            ),
            Column(
                "norm",
                TEXT,
                "length of the rows: their `own`, `unit`, or `original`, that of the row each replaces",
            ),
            Column("mix", FLOAT, "weight of the new row against the old one; 1 is the new one alone"),
            Column("bias", TEXT, "`kept` or `zero`"),
            *_SCORED,
            INPUTS,
        ),
    ),
    files="transfer/{block}.parquet",
    rows="latentgen.interventions.transfer:transfer_block",
    keys=(
        Key(
            "layers",
            LAST,
            "`last` replaces the network's own readout; `all` also puts a new one on every layer",
            {"enum": [LAST, "all"]},
        ),
    ),
    intervention=True,
    kept=True,
    packages=("interventions", "probes", "activations", "models"),
    # Readouts are replaced by class axes or means, which are those of two probes.
    methods=lambda *_: {"interventions": ["transfer"], "probes": ["velpic", "nearest_mean"]},
    readout=True,
)

# Edit


def _edit_errors(settings: Mapping[str, Any], _entry: Mapping[str, Any], saved: set[int]) -> Iterable[str]:
    if INPUT in settings["layers"]:
        yield f".layers: {INPUT!r} has nothing before it to train; name a layer of the network, or 'last'"
    for epoch in settings["epochs"]:
        if epoch not in saved:
            yield f".epochs: {epoch} is no saved epoch, so there are no weights to edit; add it to saved_epochs"
        if epoch >= settings["until"]:
            yield f".until: {settings['until']} leaves nothing to train after epoch {epoch}; allowed: above it"


def _edited_again(entry: Mapping[str, Any], runs: int, job: Mapping[str, str]) -> Again:
    edit = entry["interventions"]["edit"]
    # The control, and the edits of each layer, whose rows take a pass over the training set.
    trainings = 1 + sum(len(edit["bias"]) if layer == LAST else 1 for layer in edit["layers"])
    return Again(runs * trainings, edit["until"] - int(job["epoch"]), runs * len(edit["layers"]))


EDIT = Analysis(
    name="edit",
    about="the readout replaced after some epochs, and training continued with fresh optimiser state",
    table=Table(
        "edit",
        "Histories of trainings that went on after the readout was replaced, with fresh optimiser state. Runs that "
        "stopped before the epoch of the edit have no rows.",
        (
            Column(
                "edit_epoch",
                INTEGER,
                "epoch after which the readout was replaced; the first `epoch` of the history is this one, after the "
                "edit",
            ),
            Column("layer", TEXT, "layer that the new readout reads"),
            Column(
                "rows",
                TEXT,
                "`axis`: VeLPIC's unit axes; `none`: the control, nothing edited, the optimiser started afresh all "
                "the same",
            ),
            Column("bias", TEXT, "`kept` or `zero`"),
            *MEASURED,
        ),
    ),
    files="edit/epoch-{epoch}.parquet",
    rows="latentgen.interventions.edit:edit_cell",
    keys=(
        Key("epochs", None, "saved epochs after which the readout is replaced", several(integer(0)), required=True),
        Key(
            "until",
            None,
            "last epoch that is trained, above all of them",
            {"type": "integer", "maximum": 10_000_000},
            required=True,
        ),
        Key(
            "layers",
            [LAST],
            "`last` for the network's own readout, or names of layers that get a new one",
            several(NAME),
        ),
        Key(
            "bias",
            ["zero"],
            "of the network's own readout: `zero`, `kept` or both",
            several({"enum": ["kept", "zero"]}),
        ),
    ),
    intervention=True,
    packages=("interventions", "training", "probes", "activations", "models"),
    methods=lambda *_: {"interventions": ["edit"], "probes": ["velpic"]},
    errors=_edit_errors,
    layers=lambda settings: {"layers": settings["layers"]},
    readout=True,
    more={"training": lambda entry: entry["training"]},
    cost=Cost(again=_edited_again),
)

# Relabel


def relabelling(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the probe that relabels, less what does not matter to that."""
    probe = entry["probes"][entry["interventions"]["relabel"]["probe"]]
    return {key: value for key, value in probe.items() if key not in ("family", "score")}


def _relabel_errors(settings: Mapping[str, Any], entry: Mapping[str, Any], _saved: set[int]) -> Iterable[str]:
    fitted = [name for name, probe in entry["probes"].items() if probe.get("fit_labels", "given") == "given"]
    if settings["probe"] not in fitted:
        yield (
            f".probe: {settings['probe']!r} is none of this entry's probes that are fitted on given labels; "
            f"{allowed(settings['probe'], fitted)}"
        )


def _relabelled_again(entry: Mapping[str, Any], runs: int, _job: Mapping[str, str]) -> Again:
    # A single probe on a single layer: at most what its family takes on all of them.
    family = entry["probes"][entry["interventions"]["relabel"]["probe"]]["family"]
    return Again(runs, entry["training"]["epochs"], runs, family)


RELABEL = Analysis(
    name="relabel",
    about="training from scratch on the labels that a probe of the last epoch gives the training set",
    table=Table(
        "relabel",
        "Histories of trainings from scratch on labels that a probe gave the training examples. Rows of `mode` "
        "relabelling, `epoch` 0 and `metric` label_accuracy are the fraction of new labels that equal the `true` "
        "ones, or the `given` ones; on the train split `labels` is else `relabelled` or `true`.",
        (
            Column("from_epoch", INTEGER, "checkpoint that the probe was fitted on: the run's last"),
            Column("probe", TEXT, "probe that gave the labels, by its name in the configuration"),
            Column("layer", TEXT, "layer that it was fitted on"),
            *MEASURED,
        ),
    ),
    files="relabel.parquet",
    rows="latentgen.interventions.relabel:relabel_cell",
    keys=(
        Key("probe", "masc", "a name under `probes`, fitted on given labels", {"type": "string"}),
        Key("layer", LAST, "`last`, or the name of a layer", {"type": "string"}),
    ),
    intervention=True,
    packages=("interventions", "training", "probes", "activations", "models"),
    methods=lambda _, entry: {"interventions": ["relabel"], "probes": [relabelling(entry)["kind"]]},
    errors=_relabel_errors,
    layers=lambda settings: {"layer": [settings["layer"]]},
    more={"probe": relabelling, "training": lambda entry: entry["training"]},
    cost=Cost(again=_relabelled_again),
)

# Rewind


def _rewind_units(settings: Mapping[str, Any], runs: int, epochs: Sequence[int], _last: int) -> dict[str, int]:
    return {"fixed": runs, "each": runs * (len(epochs) + settings["rerandomisations"])}


REWIND = Analysis(
    name="rewind",
    about="the weights of some layers put back to every saved epoch, or re-randomised",
    table=Table(
        "rewind",
        "Accuracies of networks some of whose layers have the weights of an earlier epoch, everything else those of "
        "the run's last epoch. The prefix that ends with the last layer and the suffix that begins with the first are "
        "the whole network of that epoch: early stopping, not rewinding.",
        (
            Column("epoch", INTEGER, "saved epoch that weights are put back to"),
            Column("last_epoch", INTEGER, "the run's last, which is also among the epochs: there nothing changes"),
            Column(
                "kind",
                TEXT,
                "which layers: `alone`, this one; `prefix`, it and all before it; `suffix`, it and all behind it",
            ),
            Column(
                "layer",
                TEXT,
                "layer, `output` being what follows the last named one; layers without weights have no rows",
            ),
            DEPTH,
            Column("parameters", INTEGER, "weights that are put back"),
            Column(
                "weights",
                TEXT,
                "`saved`: those of the run at `epoch`; `redrawn`: of another initialisation, at `epoch` 0",
            ),
            Column("draw", INTEGER, "which fresh initialisation; null for saved weights"),
            Column(
                "batch_norm",
                TEXT,
                "running statistics: `rewound` with their layer, `reestimated` on the training images, or `none` in a "
                "network without batch normalisation",
            ),
            Column(
                "view",
                TEXT,
                "`test`: test examples, true labels; `unpermuted`: training examples whose given label is right; "
                "`permuted`: the mislabelled ones, by the given label; `restored`: mislabelled ones, by the true "
                "label; `validation`: held-out examples, by the given label",
            ),
            Column("metric", TEXT, "`accuracy`"),
            VALUE,
            Column("n", INTEGER, "examples"),
            INPUTS,
        ),
    ),
    files="rewind.parquet",
    rows="latentgen.interventions.rewind:rewind_cell",
    keys=(
        Key(
            "batch_norm",
            ["reestimated"],
            "running statistics go with their layer (`rewound`), or are estimated anew (`reestimated`)",
            several({"enum": ["rewound", "reestimated"]}),
        ),
        Key("rerandomisations", 1, "fresh initialisations that layers are also given", integer(0, 10_000)),
        Key(
            "examples",
            None,
            "most examples of a split that are scored; `null` scores all",
            {"anyOf": [integer(2), {"type": "null"}]},
        ),
    ),
    intervention=True,
    kept=True,
    packages=("interventions", "activations", "models"),
    methods=lambda *_: {"interventions": ["rewind"]},
    cost=Cost(_rewind_units, "latentgen.interventions.cost:measure"),
)
