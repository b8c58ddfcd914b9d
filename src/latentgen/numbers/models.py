"""Which models of a grid figures compare: those that differ in one option alone."""

from collections.abc import Mapping, Sequence
from typing import Any

#: Options of a model that say how wide it is.
WIDTHS = ("width", "widths")
#: Fewest models that make a sweep of widths: a dip takes three.
_FEWEST = 3


def dropout_pairs(models: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs (without, with) of models that differ in the option ``dropout`` alone.

    ``models`` : name → ``factory`` and ``options``
    """

    def plain(declared: Mapping[str, Any]) -> tuple:
        options = {key: value for key, value in declared["options"].items() if key != "dropout"}
        return declared["factory"], options

    rates = {name: declared["options"].get("dropout", 0.0) for name, declared in models.items()}
    return [
        (without, dropped)
        for without in models
        for dropped in models
        if rates[without] == 0.0 < rates[dropped] and plain(models[without]) == plain(models[dropped])
    ]


def sweeps(models: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Groups of at least three models that differ in their width alone, in the order of ``models``.

    Lists of widths are as long as one another, since their length is a depth. A model that leaves its width to the
    default belongs to no group. Whether models were trained alike is not known here.

    ``models`` : name → ``factory`` and ``options``
    """
    groups: list[tuple[Any, list[str]]] = []
    for name, declared in models.items():
        width = [declared["options"][key] for key in WIDTHS if key in declared["options"]]
        if not width:
            continue
        rest = {key: value for key, value in declared["options"].items() if key not in WIDTHS}
        kind = (declared["factory"], rest, [len(value) for value in width if isinstance(value, list)])
        for known, names in groups:
            if known == kind:
                names.append(name)
                break
        else:
            groups.append((kind, [name]))
    return [names for _, names in groups if len(names) >= _FEWEST]


def models_of(cells: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """Name → ``factory`` and ``options`` of the models of ``cells`` (`latentgen.grid.Cell`)."""
    return {cell.model: cell.declared_model for cell in cells}
