"""Which rows of a gathered table share a row group, so that whoever reads a few cells skips the others."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

#: Rows from which on a row group ends with the cells of its grid point; with any cell; with any part of a cell. Each
#: row group costs a few kilobytes in the footer, which every reader reads first, and cells of twenty rows are many:
#: so small cells share one, those of a grid point first. Reading 2^14 rows rather than a few takes milliseconds.
LEAST, ENOUGH, MOST = 2**12, 2**14, 2**17


def row_groups(parts: Iterable[pa.Table], point: Sequence[str], seeds: Sequence[str]) -> Iterator[pa.Table]:
    """Put consecutive ``parts`` together to tables that are a row group each, all rows in their order.

    Parts that share a run belong to one cell. A cell of `ENOUGH` rows or more does not share a row group with the cells
    after it, one of `MOST` rows or more has several; smaller cells share one until it has `ENOUGH` rows, or `LEAST`
    where another grid point begins. So no more than `MOST` rows and those of one part are held in memory.

    Parameters
    ----------
    parts : tables of one schema
    point, seeds : columns that name a grid point, and the runs in it; without them all parts belong to one cell
    """
    held: list[pa.Table] = []
    cell: set[tuple] = set()
    points: set[tuple] = set()
    divided = False
    for part in parts:
        if len(part) == 0:
            continue
        runs = _distinct(part, [*point, *seeds])
        new_points = {run[: len(point)] for run in runs}
        if runs.isdisjoint(cell):
            if held and (divided or _rows(held) >= (ENOUGH if new_points == points else LEAST)):
                yield pa.concat_tables(held)
                held, points = [], set()
            cell, divided = set(), False
        elif _rows(held) >= MOST:
            yield pa.concat_tables(held)
            held, points, divided = [], set(), True
        held.append(part)
        cell |= runs
        points |= new_points
    if held:
        yield pa.concat_tables(held)


def _rows(held: Sequence[pa.Table]) -> int:
    return sum(map(len, held))


def _distinct(part: pa.Table, names: list[str]) -> set[tuple]:
    if not names:
        return {()}
    return set(zip(*part.select(names).group_by(names).aggregate([]).to_pydict().values(), strict=True))
