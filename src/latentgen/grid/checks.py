"""Refusal of bad configurations: what a schema can say, and what it cannot."""

import copy
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentgen import analyses, datasets, models, noise
from latentgen.analysis import INTERVENTIONS
from latentgen.grid import code, configuration, copies, limits, names, numbers, paths, reading, sources, spans, values
from latentgen.grid.cells import PAIRED, Cell, Grid
from latentgen.probes import kinds
from latentgen.spelling import allowed as known

NO_GRID = (
    "grid: is needed: a list of entries (or grids: a list of files that have one). A file given with --configfile "
    "is a whole configuration; for other settings of the default grid say --config key=value, or name the grid's file "
    "too: --configfile config.yaml yours.yaml"
)

#: Lines of a message, and characters of each.
MOST, LONGEST = 50, 1000


class ConfigError(ValueError):
    """A configuration that cannot run. The message names each key, its value, and what is allowed."""


def load(config: Mapping[str, Any], files: Sequence[str | os.PathLike] = ()) -> Grid:
    """Check ``config`` against the JSON schema (`latentgen.grid.configuration`) and beyond, and expand it.

    ``files`` : those that ``config`` was read from, for what can only be seen there

    Raises `ConfigError` listing everything that is wrong, not only the first.
    """
    try:
        return _load(config, configuration.schema(), files)
    except _Refused as refused:
        of = f" {', '.join(os.path.relpath(file) for file in files)}" if files else ""
        raise ConfigError(_message(f"the configuration{of} cannot run:", *refused.args)) from None


class _Refused(Exception):
    """Its arguments are the lines of a `ConfigError`."""


def _refuse(errors: Iterable[str]) -> None:
    if lines := list(itertools.islice(errors, 2 * MOST)):
        raise _Refused(*lines)


def _load(config: Mapping[str, Any], schema: Mapping[str, Any], files: Sequence[str | os.PathLike]) -> Grid:
    # A key that stands twice is named in each file, also where several are merged.
    _refuse(f"{os.path.relpath(file)}: {error}" for file in files for error in reading.errors(file))
    config, errors = _checked(config, schema)
    _refuse(errors)
    config = _nothing() | config
    # `--config partial_results=true` gives a word.
    config["partial_results"] = config["partial_results"] in (True, "true")
    if not config["grid"] and not config["grids"]:
        _refuse([NO_GRID])
    parts = {"": config}
    for path in config["grids"]:
        part = _included(path, schema, errors)
        parts[f"{path}: "] = part
        errors += [f"{path}: {error}" for error in _take_over(part, config)]
    _refuse(errors)
    errors += _expand_paths(config)
    _refuse(errors)
    errors += itertools.islice(_root_errors(config), 2 * MOST)
    entries = {where: [_merge(part["defaults"], entry) for entry in part["grid"]] for where, part in parts.items()}
    _refuse([*errors, *limits.errors(entries, config)])
    for where, mine in entries.items():
        for index, entry in enumerate(mine):
            errors += [f"{where}grid[{index}]{error}" for error in _entry_errors(entry, config)]
    _refuse(errors)
    used = {name for mine in entries.values() for entry in mine for name in _listed(entry["model"])}
    declared = {name: _declared_model(config["models"].get(name, {"factory": name})) for name in used}
    expanded: dict[str, list[Cell]] = {}
    for where, part in parts.items():
        # An index may leave out points of the files that it names, but no file those of another.
        exclude = part["exclude"] + (config["exclude"] if where else [])
        for index, entry in enumerate(entries[where]):
            expanded[f"{where}grid[{index}]"] = list(_expand(entry, exclude, config, declared))
        within = entries[where] if where else [entry for mine in entries.values() for entry in mine]
        errors += [f"{where}{error}" for error in _exclude_errors(part["exclude"], within)]
    cells = list(itertools.chain.from_iterable(expanded.values()))
    errors += _duplicates(cells)
    errors += copies.errors(expanded)
    errors += _ambiguous_probes(cells)
    errors += names.twins(cells)
    if not cells:
        errors.append("exclude: nothing of the grid is left")
    _refuse(errors)
    return Grid(config, cells)


def _message(head: str, *errors: str) -> str:
    shown = [
        error if len(error) <= LONGEST else f"{error[: LONGEST - 200]} … {error[-200:]}" for error in errors[:MOST]
    ]
    more = ["and more"] if len(errors) > MOST else []
    return "\n  ".join([head, *shown, *more])


def _checked(config: Any, schema: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """A copy of ``config`` with its numbers as they are meant, and what is wrong with it."""
    if errors := list(itertools.islice(values.errors(config), 2 * MOST)):
        return config, errors
    config = numbers.meant(config, schema)
    errors = list(itertools.islice(_schema_errors(config, schema), 2 * MOST))
    for entry in () if errors else (config.get("defaults", {}), *config.get("grid", ())):
        for probe in entry.get("probes", {}).values():
            for key in set(probe or ()) & set(kinds.NUMBERS):
                probe[key] = numbers.number(probe[key], whole=key in kinds.WHOLE)
    for name, declared in () if errors else config.get("models", {}).items():
        for where, text in numbers.doubtful(declared.get("options", {})):
            errors.append(
                f"{values.path(('models', name, 'options', *where))}: {text!r} is text in YAML, for want of a point or "
                "of a sign after the e; write a number as 1.0e-3"
            )
    return config, errors


def _schema_errors(config: Any, schema: Mapping[str, Any]) -> Iterable[str]:
    """What the JSON ``schema`` has against ``config``."""
    from jsonschema import Draft202012Validator, validators

    # The validator's own comparison of all pairs takes minutes for long lists of several types.
    validator = validators.extend(Draft202012Validator, {"uniqueItems": _unique})(schema)
    # What a message cannot show is not looked for.
    found = itertools.islice(validator.iter_errors(config), 2 * MOST)
    for error in sorted(found, key=lambda error: [str(part) for part in error.absolute_path]):
        where = values.path(error.absolute_path)
        if error.validator == "additionalProperties":
            allowed = error.schema.get("properties", {})
            for key in sorted(set(error.instance) - set(allowed)):
                renamed = configuration.RENAMED.get(key)
                remedy = f"it is called {renamed} now" if renamed in allowed else known(key, allowed)
                yield f"{where + '.' if where else ''}{key}: unknown key; {remedy}"
        elif error.validator == "required":
            yield f"{where or 'top level'}: {error.message}"
        elif error.validator == "anyOf":
            reasons = "; or ".join(dict.fromkeys(map(_reason, error.context)))
            yield f"{where}: {error.instance!r} is not allowed: {reasons}"
        else:
            yield f"{where or 'top level'}: {error.message}"


def _unique(_, wanted: bool, instance: Any, __) -> Iterable[Any]:
    from jsonschema import ValidationError

    if wanted and isinstance(instance, list) and len({repr(item) for item in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _reason(error: Any) -> str:
    """Why one of several alternatives does not hold, with the key below theirs that is to blame."""
    where = values.path(error.relative_path)
    return f"{where}: {error.message}" if where else error.message


def _included(path: str, schema: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    """The configuration file that an index names; what is wrong with it goes into ``errors``."""
    try:
        part, found = _checked(reading.read(paths.expanded(path)), schema)
    except reading.KeysError as error:
        errors += [f"{path}: {line}" for line in error.errors]
        return _nothing()
    except (OSError, ValueError) as error:
        errors.append(f"grids: {path!r} cannot be read: {error}; give paths as seen from where snakemake is called")
        return _nothing()
    if not found and "grids" in part:
        found = ["grids: an included file may not include others"]
    elif not found and "grid" not in part:
        found = ["grid: is needed in an included file"]
    errors += [f"{path}: {error}" for error in found]
    return _nothing() if found else _nothing() | part


def _nothing() -> dict[str, Any]:
    """A configuration that says nothing."""
    return configuration.defaults(configuration.TOP)


def _expand_paths(config: dict[str, Any]) -> Iterable[str]:
    """Replace ``~`` and variables in the paths of ``config``."""
    places = [("data_root", config, "data_root")]
    for name, declared in config["datasets"].items():
        places += [(f"datasets.{name}.{key}", declared, key) for key in ("npz", "folder") if key in declared]
    for where, mapping, key in places:
        try:
            mapping[key] = paths.expanded(mapping[key])
        except ValueError as error:
            yield f"{where}: {error}"


def _take_over(part: Mapping[str, Any], config: dict[str, Any]) -> Iterable[str]:
    """Give ``config`` the declarations of an included file."""
    for key in ("datasets", "models"):
        for name, declared in part[key].items():
            if config[key].setdefault(name, declared) != declared:
                yield f"{key}.{name}: declared differently before; choose another name"


def _root_errors(config: Mapping[str, Any]) -> Iterable[str]:
    """A data_root that exists must be readable; one that does not must have a folder to be made in."""
    root = Path(config["data_root"])
    nearest = next(path for path in [root.absolute(), *root.absolute().parents] if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.R_OK | os.X_OK):
        yield f"data_root: {config['data_root']!r} cannot be read; give a folder that you may read, or a new one"
    elif not root.exists() and not os.access(nearest, os.W_OK):
        yield f"data_root: {config['data_root']!r} does not exist and {str(nearest)!r} may not be written"
    for name, declared in config["datasets"].items():
        if name in datasets.BUILTIN:
            yield f"datasets.{name}: the name belongs to a built-in data set; choose another"
        else:
            yield from (f"datasets.{name}{error}" for error in _declared_errors(declared))
    for name, declared in config["models"].items():
        target = declared["factory"]
        if name in models.FACTORIES:
            yield f"models.{name}: the name belongs to the zoo; choose another"
        elif target not in models.FACTORIES and not target.partition(":")[2]:
            yield f"models.{name}.factory: unknown {target!r}; {known(target, models.FACTORIES)}, or module:function"
        else:
            for error in sources.errors(models.FACTORIES.get(target, target), declared.get("options", {})):
                yield f"models.{name}.{error}"


def _declared_errors(declared: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with a data set of the user's own."""
    if ("npz" in declared) == ("folder" in declared):
        yield ": needs either npz, a file, or folder, a folder of images"
    elif "npz" in declared:
        if "size" in declared:
            yield ".size: has no meaning for an .npz file; leave it out"
        if not os.access(declared["npz"], os.R_OK):
            yield f".npz: {declared['npz']!r} cannot be read; give the path of an .npz file"
        else:
            yield from (f".npz: {error}" for error in _data_errors(declared))
    elif not os.path.isdir(declared["folder"]) or not os.access(declared["folder"], os.R_OK | os.X_OK):
        yield f".folder: {declared['folder']!r} cannot be read; give a folder that has train/ and test/ or val/"
    else:
        yield from (f".folder: {error}" for error in _data_errors(declared))


def _data_errors(declared: Mapping[str, Any]) -> Iterable[str]:
    try:
        datasets.check(declared)
    except datasets.DataError as error:
        yield str(error)


def _merge(defaults: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Entry over defaults; the settings of one key merge with the defaults' own, the rest is replaced."""
    merged = configuration.entry_defaults() | copy.deepcopy(dict(defaults)) | copy.deepcopy(dict(entry))
    for key, base in (
        ("training", configuration.defaults(configuration.TRAINING)),
        ("probes", {}),
        (INTERVENTIONS, {}),
    ):
        if key in merged:
            merged[key] = base | copy.deepcopy(defaults.get(key, {})) | copy.deepcopy(entry.get(key, {}))
    for key in ("probes", INTERVENTIONS):
        if key in merged:
            merged[key] = {name: settings for name, settings in merged[key].items() if settings is not None}
    for analysis in analyses.ALL:
        if analysis.keys and not analysis.intervention and merged[analysis.name] is not None:
            merged[analysis.name] = copy.deepcopy(defaults.get(analysis.name) or {}) | merged[analysis.name]
    return merged


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _entry_errors(entry: Mapping[str, Any], config: Mapping[str, Any]) -> Iterable[str]:
    missing = [key for key in configuration.REQUIRED if key not in entry]
    missing += [f"training.{key}" for key in configuration.REQUIRED_TRAINING if key not in entry.get("training", {})]
    if missing:
        yield f": needs {', '.join(missing)}, here or in defaults"
        return
    yield from _held_out_errors(entry)
    tables = {
        "dataset": [*datasets.BUILTIN, *config["datasets"]],
        "model": [*models.FACTORIES, *config["models"]],
        "noise": noise.KINDS,
    }
    for key, allowed in tables.items():
        for value in _listed(entry[key]):
            if value not in allowed:
                renamed = configuration.RENAMED.get(value)
                remedy = f"it is called {renamed} now" if renamed in allowed else known(value, allowed)
                yield f".{key}: unknown {key} {value!r}; {remedy}"
    for level in entry["levels"]:
        if not 0 <= level <= 1:
            yield f".levels: {level!r} is not a probability; allowed: 0 to 1"
    for key in ("data_seeds", "model_seeds"):
        for item in entry[key] if entry[key] != PAIRED else ():
            try:
                last = spans.seeds(item)[-1]
            except ValueError as error:
                yield f".{key}: {error}"
                continue
            if last >= 2**32:
                yield f".{key}: {item!r} is too large; allowed: below 2**32"
    try:
        kept = {0, *spans.epochs(entry["saved_epochs"])}
        yield from _epoch_errors(entry, kept)
    except ValueError as error:
        kept = None
        yield f".saved_epochs: {error}"
    for name, probe in entry["probes"].items():
        if probe.get("batch_norm") == "example" and config["activations"] == "dump":
            yield f".probes.{name}.batch_norm: 'example' is not what dumps hold; set activations: stream"
    for analysis in analyses.ALL if kept else ():
        yield from analysis.wrong(entry, kept)


def _held_out_errors(entry: Mapping[str, Any]) -> Iterable[str]:
    """A held-out part that is empty, or leaves too little, where a data set's size is known before it is read."""
    for dataset in _listed(entry["dataset"]):
        if dataset in datasets.TRAINING:
            n, n_classes = datasets.TRAINING[dataset]
            held = noise.n_held_out(n, entry["validation"])
            if entry["validation"] and not held:
                yield f".validation: {entry['validation']!r} holds out none of {n:,} examples of {dataset}; 0 says so"
            elif n - held < n_classes:
                yield (
                    f".validation: {entry['validation']!r} leaves {n - held} of {n:,} training examples of {dataset}, "
                    f"fewer than its {n_classes} classes; hold out less"
                )


def _epoch_errors(entry: Mapping[str, Any], kept: set[int]) -> Iterable[str]:
    training = entry["training"]
    late = [epoch for epoch in sorted(kept) if epoch > training["epochs"]]
    if late:
        yield f".saved_epochs: {late[0]} lies beyond training.epochs; allowed: 0 to {training['epochs']}"
    if training["optimizer"] == "adam" and training["momentum"]:
        yield f".training.momentum: {training['momentum']!r} has no meaning for optimizer 'adam'; allowed: 0"


def _exclude_errors(exclude: list[Mapping[str, Any]], entries: list[dict]) -> Iterable[str]:
    """An exclusion that matches nothing is a typo."""
    points = [point for entry in entries for point in _points(entry)]
    for index, rule in enumerate(exclude):
        if not any(_matches(point, rule) for point in points):
            yield f"exclude[{index}]: {dict(rule)!r} matches no point of the grid"


def _points(entry: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    axes = [_listed(entry["dataset"]), _listed(entry["model"]), _listed(entry["noise"]), entry["levels"]]
    for dataset, model, kind, level in itertools.product(*axes):
        # Minus zero is zero, in the names of folders too.
        yield {"dataset": dataset, "model": model, "noise": kind, "level": float(level) + 0.0}


def _matches(point: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    return all(point[key] == value for key, value in rule.items())


def _expand(
    entry: Mapping[str, Any],
    exclude: list[Mapping[str, Any]],
    config: Mapping[str, Any],
    declared: Mapping[str, Mapping[str, Any]],
) -> Iterable[Cell]:
    settings = {key: entry[key] for key in ("validation", "training", "saved_epochs", "epochs_per_job")}
    settings |= analyses.complete(entry)
    for point in _points(entry):
        if any(_matches(point, rule) for rule in exclude):
            continue
        model_items = [PAIRED] if entry["model_seeds"] == PAIRED else entry["model_seeds"]
        for data_seeds, model_seeds in itertools.product(entry["data_seeds"], model_items):
            yield Cell(
                **point,
                data_seeds=str(data_seeds),
                model_seeds=str(model_seeds),
                settings=settings,
                declared_model=declared[point["model"]],
                declared_dataset=config["datasets"].get(point["dataset"]),
            )


def _declared_model(declared: Mapping[str, Any]) -> dict[str, Any]:
    """What jobs are told of a model. Shipped code has a version; of other code, what it is made of stands for one."""
    model = {"factory": declared["factory"], "options": declared.get("options", {})}
    if declared["factory"] not in models.FACTORIES:
        model["network_code"] = code.identity(declared["factory"])
    return model | {key: declared[key] for key in models.NAMING if key in declared}


def _duplicates(cells: list[Cell]) -> Iterable[str]:
    seen: set[tuple] = set()
    for cell in cells:
        for run in cell.runs:
            key = (run.dataset, run.model, run.noise, run.level, run.data_seed, run.model_seed)
            if key in seen:
                yield (
                    f"grid: the run {cell.path} ({run.name}) is declared twice; "
                    "give the second recipe a model name of its own under 'models', or drop it"
                )
            seen.add(key)


def _ambiguous_probes(cells: list[Cell]) -> Iterable[str]:
    """Tables and figures know a probe by its name alone.

    ``max_features`` limits on which layers it is fitted, ``score`` and ``family`` where it is scored and by which job:
    none of them what it is.
    """
    seen: dict[str, dict] = {}
    ambiguous = set()
    for cell in cells:
        for name, probe in cell.settings["probes"].items():
            settings = {key: value for key, value in probe.items() if key not in ("family", "score", "max_features")}
            if seen.setdefault(name, settings) != settings:
                ambiguous.add(name)
    for name in sorted(ambiguous):
        yield f"probes.{name}: two entries mean different probes by this name; give one of them another"
