"""Files of cells that the tables of a grid are gathered from, and what of a grid is there."""

from collections.abc import Callable
from dataclasses import replace

from latentgen import analyses
from latentgen.grid.cells import Cell, Grid

#: What a training leaves in its cell, and the labels that it saw.
_TRAINED = ("labels.parquet", "history.parquet", "records.parquet", "checkpoints.json", "checkpoints")
#: Tables that every cell has a part of.
_ALWAYS = ("history", "probes")


def parts(cell: Cell) -> dict[str, list[str]]:
    """Files of ``cell`` by the table that they are gathered into."""
    found = {"history": [f"{cell.path}/history.parquet"]}
    for analysis, _ in analyses.of_entry(cell.settings):
        found[analysis.name] = [f"{cell.path}/{analysis.files.format(**job)}" for job in cell.jobs(analysis)]
    return found


def present(grid: Grid, exists: Callable[[str], bool]) -> tuple[Grid, dict[str, dict]]:
    """The grid of what is there, and what is missing from each table of the whole grid.

    A cell is there with its training and all its probes, because no figure does without. Where files of another
    analysis are missing, the cell is there without that analysis. A job that fails leaves no outputs, so what failed
    is missing.

    Parameters
    ----------
    exists : whether there is a file or folder of this path

    Returns
    -------
    grid : cells that are there, perhaps none
    missing : for each table that lacks runs, ``of``, how many the grid has, and ``runs``, names of those that it lacks
    """
    cells = []
    wanted: dict[str, int] = {}
    missing: dict[str, list[str]] = {}
    for cell in grid.cells:
        files = parts(cell)
        needed = [f"results/data/{cell.dataset}/meta.json", *(f"{cell.path}/{name}" for name in _TRAINED)]
        lacks = {table for table, paths in files.items() if not all(map(exists, paths))}
        if not all(map(exists, needed)) or not lacks.isdisjoint(_ALWAYS):
            lacks = set(files)
        else:
            cells.append(replace(cell, settings=analyses.without(cell.settings, lacks)) if lacks else cell)
        place = cell.path.removeprefix("results/runs/").rpartition("/")[0]
        for table in files:
            wanted[table] = wanted.get(table, 0) + len(cell.runs)
            if table in lacks:
                missing.setdefault(table, []).extend(f"{place}/{run.name}" for run in cell.runs)
    return Grid(grid.config, cells), {table: {"of": wanted[table], "runs": runs} for table, runs in missing.items()}
