"""Keys of a configuration that are no analysis's own, and the JSON schema of the whole."""

from typing import Any

from latentgen import analyses, keys
from latentgen.analysis import INTERVENTIONS
from latentgen.keys import NAME, Key, integer

_NUMBER, _TEXT, _WHOLE = {"type": "number"}, {"type": "string"}, {"type": "integer", "minimum": 1}
_NAMES, _SEEDS = {"$ref": "#/$defs/names"}, {"$ref": "#/$defs/seeds"}
_ENTRY = {"$ref": "#/$defs/entry"}

_DATASET = (
    Key("npz", None, "file with x_train, y_train, x_test, y_test (uint8 images, integer labels)", _TEXT),
    Key("folder", None, "folder of images, train/CLASS/* and test/CLASS/* (or val/CLASS/*)", _TEXT),
    Key(
        "size",
        None,
        "pixels of a side to which a folder's images are resized; without it they must be of one size",
        integer(1, 10_000),
    ),
)

_MODEL = (
    Key("factory", None, "a name of the zoo, or module:function", _TEXT, required=True),
    Key("options", {}, "keyword arguments of the factory", {"type": "object"}),
    Key(
        "probed",
        None,
        "layers by name, each the name of the submodule whose output it is; for a factory that names none",
        {"type": "object", "minProperties": 1, "propertyNames": NAME, "additionalProperties": _TEXT},
    ),
    Key("readout", None, "name of the last linear submodule, for a factory that does not name it", _TEXT),
)

_POINT = (
    Key("dataset", None, "", _TEXT),
    Key("model", None, "", _TEXT),
    Key("noise", None, "", _TEXT),
    Key("level", None, "", _NUMBER),
)


def _named(of: tuple[Key, ...], *required: str) -> dict[str, Any]:
    """Mappings by name."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "propertyNames": NAME, "additionalProperties": keys.schema(of) | needed}


TOP = (
    Key("grid", [], "list of entries; this or `grids` is needed", {"type": "array", "minItems": 1, "items": _ENTRY}),
    Key(
        "grids",
        [],
        "other configuration files whose grids are run together ([below](#several-files-together))",
        {"type": "array", "minItems": 1, "uniqueItems": True, "items": _TEXT},
    ),
    Key("defaults", {}, "an entry whose values every other entry takes unless it says otherwise", _ENTRY),
    Key(
        "exclude",
        [],
        "grid points left out of the products: a point goes when it matches all keys (`dataset`, `model`, `noise`, "
        "`level`) of one item",
        {"type": "array", "items": keys.schema(_POINT) | {"minProperties": 1}},
    ),
    Key(
        "data_root",
        "data",
        "folder of the data sets, in torchvision's layout; downloads go there; it may be read-only when the archives "
        "are there",
        _TEXT | {"minLength": 1},
    ),
    Key("device", "auto", "where jobs compute: `auto`, `cpu` or `cuda`", {"enum": ["auto", "cpu", "cuda"]}),
    Key(
        "threads",
        1,
        "compute threads of a job; part of a result's identity, because two threads sum in another order than one",
        integer(1, 1024),
    ),
    Key(
        "jobs_per_gpu",
        1,
        "how many jobs share a GPU where no scheduler hands them out ([below](#gpus)); changes no result",
        integer(1, 1000),
    ),
    Key(
        "max_jobs",
        100_000,
        "most jobs that a grid may need, and most runs that it may have; ten times as many checkpoints. A larger grid "
        "is refused before it is expanded, exclusions not counted",
        _WHOLE,
    ),
    Key(
        "activations",
        "stream",
        "`stream` (probes compute activations as they read them) or `dump` (they read kept dumps, `dumps/{block}/` in "
        "each cell)",
        {"enum": ["stream", "dump"]},
    ),
    Key(
        "partial_results",
        False,
        "gather what is there, and say what is missing ([below](#when-some-runs-fail))",
        {"enum": [True, False, "true", "false"]},  # a command line gives words
    ),
    Key(
        "datasets",
        {},
        "data sets of your own: `name: {npz: file}`, or `name: {folder: folder of images, size: pixels}`",
        _named(_DATASET),
    ),
    Key(
        "models",
        {},
        "models of your own, or variants: `name: {factory: name or module:function, options: {…}}`, perhaps with "
        "`probed` and `readout` ([models.md](models.md))",
        _named(_MODEL, "factory"),
    ),
)

TRAINING = (
    Key("optimizer", None, "`sgd` or `adam`", {"enum": ["sgd", "adam"]}, required=True),
    Key("learning_rate", None, "step size", _NUMBER | {"exclusiveMinimum": 0}, required=True),
    Key("momentum", 0.0, "of `sgd`", _NUMBER | {"minimum": 0, "exclusiveMaximum": 1}),
    Key(
        "batch_size",
        None,
        "examples of a step; above the number of training examples it takes all of them at once",
        _WHOLE,
        required=True,
    ),
    Key("epochs", None, "most epochs that are trained", integer(1, 10_000_000), required=True),
    Key(
        "shuffle",
        True,
        "draw a new order every epoch; the published loader does not",
        {"type": "boolean"},
    ),
    Key(
        "stop_accuracy",
        None,
        "running training accuracy that ends the training, or `null`",
        {"anyOf": [_NUMBER | {"exclusiveMinimum": 0, "maximum": 1}, {"type": "null"}]},
    ),
)

_SPAN = r"^[0-9]{1,10}-[0-9]{1,10}(:[1-9][0-9]{0,9})?$(?!\n)"

#: Keys of an entry that come before its analyses.
ENTRY = (
    Key("dataset", None, "a name or a list of names", _NAMES, required=True),
    Key("model", None, "a name or a list of names", _NAMES, required=True),
    Key(
        "noise",
        "uniform",
        "`uniform` (any class), `exclude_true` (any other class), `ketha2026` (the draw of the published results; "
        "their seed is 42); a name or a list of names",
        _NAMES,
    ),
    Key(
        "levels",
        None,
        "corruption levels: probabilities, from 0 to 1, that an example is selected for corruption",
        {"type": "array", "minItems": 1, "items": _NUMBER},
        required=True,
    ),
    Key(
        "data_seeds",
        [0],
        'draw of corruption and held-out part; a number is a job of its own, `"0-4"` is five runs that share each job',
        _SEEDS,
    ),
    Key(
        "model_seeds",
        [0],
        "initialisation and order of examples; as `data_seeds`, or `paired`: each run's model seed is its data seed, "
        "so that an interval over data seeds also holds what initialisation and order contribute",
        {"anyOf": [_SEEDS, {"const": "paired"}]},
    ),
    Key(
        "validation",
        0.0,
        "fraction of the noisy training set that is held out of training and of fitting probes; something must be held "
        "out, and of each class something left",
        _NUMBER | {"minimum": 0, "exclusiveMaximum": 1},
    ),
    Key("training", None, "the recipe (below)", keys.schema(TRAINING), required=True),
    Key(
        "saved_epochs",
        None,
        'epochs whose weights are kept and probed; `"4-20:2"` is 4, 6, … 20; the first and the last always are',
        {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SPAN}]},
        },
        required=True,
    ),
    Key("epochs_per_job", 100, "epochs in the range that one job of an analysis handles", _WHOLE),
)

#: Keys of an entry, without an analysis's own, that it must have or take from the defaults.
REQUIRED = (*(key.name for key in ENTRY if key.required), analyses.PROBES.name)
REQUIRED_TRAINING = tuple(key.name for key in TRAINING if key.required)

_SEED = "(0|[1-9][0-9]{0,9})"
_DEFINITIONS = {
    "name": {
        "type": "string",
        # A dollar sign alone also matches before a last newline.
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]*$(?!\n)",
        # File systems take 255 characters, and logs and temporary files add to it.
        "maxLength": 200,
    },
    "names": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    "layers": {
        "anyOf": [
            {"enum": ["last", "all"]},
            {"type": "array", "minItems": 1, "uniqueItems": True, "items": NAME},
        ]
    },
    "seeds": {
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": rf"^{_SEED}-{_SEED}$(?!\n)"},
            ]
        },
    },
}


#: Keys and noise kinds by names that they no longer have.
RENAMED = {"block": "epochs_per_job", "maps": "embeddings", "redraws": "rerandomisations", "published": "ketha2026"}


def defaults(of: tuple[Key, ...]) -> dict[str, Any]:
    """Values of keys that a configuration may leave out."""
    return keys.complete((key for key in of if not key.required), {})


def entry_defaults() -> dict[str, Any]:
    """The same of an entry, analyses included."""
    absent = {
        analysis.name: None if analysis.keys else False
        for analysis in analyses.ALL
        if not analysis.intervention and analysis.name not in REQUIRED
    }
    return {**defaults(ENTRY), INTERVENTIONS: {}, **absent}


def schema() -> dict[str, Any]:
    """JSON schema of a configuration."""
    entry = keys.schema(ENTRY)
    entry["properties"] |= analyses.schemas()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "configuration of latentgen",
        **keys.schema(TOP),
        "$defs": {**_DEFINITIONS, "entry": entry},
    }
