"""Names that become folders."""

from collections.abc import Iterable

from latentgen.grid.cells import Cell


def twins(cells: Iterable[Cell]) -> Iterable[str]:
    """Names that differ in upper and lower case alone: one folder on the file systems of macOS."""
    known: dict[tuple[str, str], str] = {}
    found = set()
    for cell in cells:
        names = [("datasets", "datasets", cell.dataset), ("models", "models", cell.model)]
        # Families are folders of their cell.
        names += [("probes", cell.path, probe["family"]) for probe in cell.settings["probes"].values()]
        for key, where, name in names:
            first = known.setdefault((where, name.casefold()), name)
            if first != name:
                found.add((key, *sorted((first, name))))
    for key, first, second in sorted(found):
        what = "the families " if key == "probes" else ""
        yield (
            f"{key}: {what}{first!r} and {second!r} differ in upper and lower case alone, and would share a folder on "
            "file systems that do not tell these apart; rename one of them"
        )
