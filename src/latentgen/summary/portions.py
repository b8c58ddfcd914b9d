"""Tables taken a few grid points at a time, so that what is computed within each needs memory for a portion only."""

import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import pandas as pd

from latentgen import tables
from latentgen.summary.intervals import GRID_POINT

#: Rows, of all tables together, from which on a portion ends with its grid point.
ENOUGH = 2**20


def portions(*frames: pd.DataFrame, whole: Sequence[str] = GRID_POINT) -> Iterator[tuple[pd.DataFrame, ...]]:
    """Rows of the same grid points of each of ``frames``: those of the first, in their order, as rows are.

    Parameters
    ----------
    frames : DataFrame
        Columns ``whole``, without nulls. Frames of fewer than `ENOUGH` rows together are one portion, as they are.
    whole : sequence of str
        Columns whose every combination stays in one portion, where grid points may be divided further.
    """
    if sum(map(len, frames)) < ENOUGH:
        yield frames
        return
    grouped = [frame.groupby(list(whole), sort=False) for frame in frames]
    sizes = [group.size() for group in grouped]
    counts = sum(size.reindex(sizes[0].index, fill_value=0) for size in sizes)
    place = (counts.cumsum() - counts) // ENOUGH
    of_rows = [
        place.reindex(size.index, fill_value=-1).to_numpy()[group.ngroup()]
        for size, group in zip(sizes, grouped, strict=True)
    ]
    for number in place.unique():
        yield tuple(frame[of_row == number] for frame, of_row in zip(frames, of_rows, strict=True))


def read_portions(
    paths: Mapping[str, str | os.PathLike], wanted: Mapping[str, tuple[Sequence[str], tables.Filters | None]]
) -> Iterator[dict[str, pd.DataFrame]]:
    """As `portions`, but from the gathered tables at ``paths``, row groups being read when their turn comes.

    Parameters
    ----------
    paths : files, by the name of their table
    wanted : columns, among them those of the grid point, and filters of each, as `latentgen.tables.read` takes them;
        sizes of portions are before filtering
    """
    files = {name: _Gathered(path) for name, path in paths.items()}
    held: set[tuple] = set()
    rows = 0
    points = list(next(iter(files.values())).sizes)
    for point in points:
        held.add(point)
        rows += sum(file.sizes.get(point, 0) for file in files.values())
        if rows >= ENOUGH or point == points[-1]:
            yield {name: file.read(held, *wanted[name]) for name, file in files.items()}
            held, rows = set(), 0


class _Gathered:
    """A gathered table, and which grid points its row groups have; ``sizes`` : their rows, in order of appearance."""

    def __init__(self, path: str | os.PathLike):
        texts = [name for name in GRID_POINT if name != "level"]
        self.path, self.of_groups, self.sizes = path, [], {}
        with tables.opened(path, read_dictionary=texts) as file:
            for number in range(file.num_row_groups):
                # A table of one grid point each keeps the order in which they come.
                found = tables.to_frame(file.read_row_group(number, GRID_POINT)).groupby(GRID_POINT, sort=False).size()
                self.of_groups.append(set(found.index))
                for point, size in found.items():
                    self.sizes[point] = self.sizes.get(point, 0) + size

    def read(self, points: AbstractSet[tuple], columns: Sequence[str], filters: tables.Filters | None) -> pd.DataFrame:
        """Rows of these grid points."""
        chosen = [number for number, found in enumerate(self.of_groups) if not found.isdisjoint(points)]
        frame = tables.read(self.path, columns, filters, row_groups=chosen)
        if all(self.of_groups[number] <= points for number in chosen):
            return frame
        return frame[pd.MultiIndex.from_frame(frame[GRID_POINT]).isin(points)].reset_index(drop=True)
