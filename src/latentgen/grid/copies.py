"""What ``n`` counts: runs of one recipe that can differ. Copies of a run are refused, few runs are announced."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentgen import noise
from latentgen.grid.cells import PAIRED, Cell
from latentgen.spelling import shortened

#: Fewest data seeds whose interval figures draw and texts print; of fewer, the runs themselves are shown. A 95 % t
#: interval of two reaches more than six times as far, on either side of their mean, as from one run to the other.
FEWEST = 4

#: Seeds, or other names, that a message lists before it counts the rest.
_NAMED = 5


def errors(entries: Mapping[str, Sequence[Cell]]) -> Iterable[str]:
    """Runs that count as several but are one, and recipes that would be averaged, as texts that start at the key.

    Initialisation and order of the examples come from the model seed. The data seed draws which labels are wrong, with
    which labels, and which examples are held out; where it draws none of that, runs of one model seed are equal to the
    last bit.

    Parameters
    ----------
    entries : cells by the entry of the configuration, such as ``grid[0]``, that declares them
    """
    yield from _copies(entries)
    yield from _mixed(entries)


def notes(cells: Sequence[Cell]) -> list[str]:
    """What is worth knowing of the number of runs before any of them is trained."""
    data: dict[tuple, set[int]] = {}
    model: dict[tuple, set[int]] = {}
    for cell in cells:
        for run in cell.runs:
            point = _point(cell)
            data.setdefault(point, set()).add(run.data_seed)
            model.setdefault(point, set()).add(run.model_seed)
    few = [point for point, found in data.items() if 1 < len(found) < FEWEST]
    shared = [point for point, found in data.items() if len(found) > 1 and len(model[point]) == 1]
    found = []
    if few:
        n = " or ".join(str(n) for n in sorted({len(data[point]) for point in few}))
        found.append(
            f"n is {n} at {_first(few, data)}: figures and the headline show the runs themselves there; they give "
            f"intervals from {FEWEST} data seeds on (key data_seeds)"
        )
    if shared:
        found.append(
            f"the data seeds share one model seed at {_first(shared, data)}: what initialisation and order of the "
            "examples contribute is in no interval there; with model_seeds: paired it is"
        )
    return found


def _copies(entries: Mapping[str, Sequence[Cell]]) -> Iterable[str]:
    seeds: dict[tuple, dict[int, set[int]]] = {}
    named: dict[tuple, dict[str, Cell]] = {}
    for name, cells in entries.items():
        for cell in cells:
            key = (*_point(cell), cell.entry)
            named.setdefault(key, {})[name] = cell
            for run in cell.runs:
                seeds.setdefault(key, {}).setdefault(run.model_seed, set()).add(run.data_seed)
    told: dict[tuple, list[Cell]] = {}
    for key, of_model in seeds.items():
        cell, where = next(iter(named[key].values())), shortened(list(named[key]), _NAMED, " and ")
        for model_seed, of_data in of_model.items():
            why = _nothing_drawn(cell) if len(of_data) > 1 else None
            if why is not None:
                told.setdefault((where, cell.level, model_seed, tuple(sorted(of_data)), why), []).append(cell)
                break
    for (where, level, model_seed, data, why), cells in told.items():
        yield (
            f"{where}.data_seeds: {_listed(data)} with model seed {model_seed} are one and the same run at level "
            f"{level:g} of {_names(cells)}, and n would count its copies: {why}; write model_seeds: {PAIRED}, or give "
            "this level an entry of its own with one data seed"
        )


def _nothing_drawn(cell: Cell) -> str | None:
    """Why a data seed changes nothing in the runs of ``cell``; None where it draws something."""
    one_way = cell.level == 1 and cell.noise == "exclude_true"
    validation, declared = cell.settings["validation"], cell.declared_dataset
    # Data are looked at only where it depends on them; those that come with a name have many classes and examples.
    if not (cell.level == 0 or one_way) or (declared is None and (validation or one_way)):
        return None
    examples, classes = _sizes(declared) if validation or one_way else (None, None)
    if validation and (examples is None or noise.n_held_out(examples, validation)):
        return None
    if cell.level == 0:
        return "no label is wrong, and no example is held out (validation)"
    if classes == 2:
        return "every label becomes that of the other of two classes, and no example is held out (validation)"
    return None


def _sizes(declared: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Training examples and classes of a data set of the user's own, None what cannot be told, or not soon."""
    import numpy as np

    try:
        if "folder" in declared:
            parts = (Path(declared["folder"]) / "train").iterdir()
            return None, sum(path.is_dir() and not path.name.startswith(".") for path in parts)
        with np.load(declared["npz"], allow_pickle=False) as file:
            labels = file["y_train"]
            return len(labels), len(np.unique(labels))
    except Exception:  # whatever is wrong with the data is said where they are checked
        return None, None


def _mixed(entries: Mapping[str, Sequence[Cell]]) -> Iterable[str]:
    """Grid points whose runs differ in more than seeds."""
    recipes: dict[tuple, tuple[str, str]] = {}
    told = set()
    for name, cells in entries.items():
        for cell in cells:
            first, entry = recipes.setdefault(_point(cell), (name, cell.entry))
            if entry != cell.entry and (first, name) not in told:
                told.add((first, name))
                yield (
                    f"{name}: trains {_names([cell])} at level {cell.level:g} otherwise than {first} does (training or "
                    "validation), and runs that differ in more than seeds have no mean; give the model of one of them "
                    "another name under 'models'"
                )


def _point(cell: Cell) -> tuple[str, str, str, float]:
    return cell.dataset, cell.model, cell.noise, cell.level


def _first(points: Sequence[tuple], every: Mapping[tuple, Any]) -> str:
    dataset, model, noise, level = points[0]
    text = f"{dataset}/{model}/{noise}-{level:g}"
    return text if len(points) == 1 else f"{len(points)} of {len(every)} grid points (first {text})"


def _names(cells: Sequence[Cell]) -> str:
    return shortened(list(dict.fromkeys(f"{cell.dataset}/{cell.model}" for cell in cells)), _NAMED)


def _listed(seeds: Sequence[int]) -> str:
    shown = [str(seed) for seed in seeds]
    return ", ".join(shown) if len(shown) <= _NAMED else f"{', '.join(shown[: _NAMED - 1])}, … ({len(shown)} seeds)"
